"""Process of a distributed training: `torchrun ... -m igrpo.cli.worker RUN_DIR`, started by igrpo itself.

It reads the resolved settings that the starting process wrote to the run's directory, and does not use Hydra. It
records how it ended in a file next to them, which the starting process reads.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from igrpo.config import parse_config
from igrpo.distributed import start_process
from igrpo.rewards.base import RewardPausedError
from igrpo.runs.claim import run_log
from igrpo.runs.console import outlive_reader
from igrpo.runs.job import terminate_by_exception
from igrpo.runs.lifeline import end_with_starter
from igrpo.runs.ranks import EndOfRank, EndStatus, Launch, rank_file, write_end


def main(folder: Path) -> int:
    """Train, record how the process ended, and return the exit code."""
    end_with_starter()
    number = int(os.environ["RANK"])
    with run_log(folder) if number == 0 else nullcontext(), terminate_by_exception():
        try:
            summary = _train(folder)
        except (KeyboardInterrupt, SystemExit):
            _write_end(folder, number, "stopped")
            raise
        except RewardPausedError as pause:
            _write_end(folder, number, "paused", message=str(pause), setting=pause.setting)
            return 1
        except Exception as error:
            text = traceback.format_exc()
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            _write_end(folder, number, "lost" if _is_lost(error) else "failed", message=f"{kind}{error}")
            rank_file(folder, number, ".txt").write_text(text, encoding="utf-8")
            return 1
        _write_end(folder, number, "finished", summary=summary)
    return 0


def _train(folder: Path) -> dict[str, object]:
    from igrpo.assembly import build_device
    from igrpo.runs.training_run import train

    launch = Launch.read(folder)
    config = parse_config(launch.config)
    cuda = build_device(config.trainer).type == "cuda"
    start_process(config.trainer.collective_timeout_s, cuda=cuda)
    return train(config, folder, resume=launch.resume)


def _is_lost(error: Exception) -> bool:
    """True if a collective operation failed, as happens when another process has ended."""
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or (type(error) is RuntimeError and "gloo" in str(error))


def _write_end(folder: Path, number: int, status: EndStatus, **more: Any) -> None:
    # When one process fails, the others are stopped by a signal. It must not prevent the reason from being recorded.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    write_end(folder, number, EndOfRank(status, time.time(), **more))


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main(Path(sys.argv[1])))
