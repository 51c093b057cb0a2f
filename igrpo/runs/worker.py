"""Process of a distributed training: `torchrun ... -m igrpo.runs.worker RUN_DIR`, started by igrpo itself.

It reads the resolved settings that the starting process wrote to the run's directory, and does not use Hydra. It
records how it ended in a file next to them, which the starting process reads.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path

from igrpo.config import parse_config
from igrpo.distributed import start_process
from igrpo.runs.command import as_command
from igrpo.runs.console import outlive_reader
from igrpo.runs.execution import import_training
from igrpo.runs.lifecycle import Ending, SignalHandlers
from igrpo.runs.lifeline import end_with_starter
from igrpo.runs.log_file import run_log
from igrpo.runs.rank_records import Launch, RankRecord, rank_file


def main(folder: Path) -> int:
    """Train, record how the process ended, and return the exit code."""
    end_with_starter()
    rank = int(os.environ["RANK"])
    with run_log(folder) if rank == 0 else nullcontext(), SignalHandlers() as signals:
        summary, ending = None, Ending("finished")
        try:
            summary = _train(folder)
        except BaseException as error:
            signals.ignore()
            ending = Ending.of(error)
            if ending.kind in {"failed", "lost"}:
                rank_file(folder, rank, ".txt").write_text(traceback.format_exc(), encoding="utf-8")
        # When one process fails, the others are stopped by a signal, which must not prevent this one's record.
        signals.ignore()
        RankRecord(ending, time.time(), summary).write(folder, rank)
    return ending.exit_code


def _train(folder: Path) -> dict[str, object]:
    import_training()
    from igrpo.assembly import build_device
    from igrpo.runs.training_run import train

    launch = Launch.read(folder)
    config = parse_config(launch.config)
    cuda = build_device(config.trainer).type == "cuda"
    start_process(config.trainer.collective_timeout_s, cuda=cuda)
    with as_command(launch.command):
        return train(config, folder, resume=launch.resume)


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main(Path(sys.argv[1])))
