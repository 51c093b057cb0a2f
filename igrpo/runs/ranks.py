"""Training in several processes: this process starts torchrun, waits for it and reports how the run ended.

The processes end when this one ends (`igrpo.runs.lifeline`). Lightning's own launcher is not used, because it would
start the whole command line again in every process, even that of a sweep.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from igrpo.config import ConfigError, RunConfig, config_values
from igrpo.files import write_json_atomic
from igrpo.rewards.base import RewardPausedError
from igrpo.runs.claim import FILE_ONLY
from igrpo.runs.lifeline import starter_variables, tied
from igrpo.runs.mlflow_client import mlflow_client
from igrpo.runs.run_directory import RunDirectory, RunStatus
from igrpo.runs.run_lock import RunDirectoryLockedError

log = logging.getLogger(__name__)

FOLDER = "ranks"

#: Seconds that the processes of a stopped run have to write their status.
_STOP_S = 60.0

#: Seconds that a process may outlive torchrun, which it watches.
_LAST_S = 5.0


EndStatus = Literal["finished", "failed", "paused", "lost", "stopped"]


@dataclass(frozen=True, slots=True)
class Launch:
    """Settings that the processes of a run start with."""

    config: Mapping[str, Any]
    resume: bool

    def write(self, run_dir: Path) -> None:
        """Write the settings to the run's directory."""
        (run_dir / FOLDER).mkdir(parents=True, exist_ok=True)
        write_json_atomic(run_dir / FOLDER / "launch.json", asdict(self))

    @classmethod
    def read(cls, run_dir: Path) -> Launch:
        """Read what ``write`` wrote."""
        return cls(**json.loads((run_dir / FOLDER / "launch.json").read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class EndOfRank:
    """End of a process: status, Unix time and reason. The first process that failed gives the reason for the run.

    ``paused``: its reward has reached a limit. ``lost``: it waited for a process that had ended, which is never the
    original cause.
    """

    status: EndStatus
    time: float
    message: str = ""
    setting: str = ""
    summary: Mapping[str, Any] | None = None


class RanksError(RuntimeError):
    """A process of the run failed."""


def rank_file(run_dir: Path, rank: int, suffix: str) -> Path:
    """Return the path of a process's file."""
    return run_dir / FOLDER / f"rank-{rank}{suffix}"


def write_end(run_dir: Path, rank: int, end: EndOfRank) -> None:
    """Write how a process ended."""
    write_json_atomic(rank_file(run_dir, rank, ".json"), asdict(end))


def train_in_processes(config: RunConfig, run_dir: Path, *, resume: bool) -> Mapping[str, Any]:
    """Run `training_run.train` in ``trainer.devices`` processes on this node (and those that joined on others).

    Raises:
        RanksError: a process failed; the message is that of the first one that failed.
        RewardPausedError: the reward has reached a limit.
        KeyboardInterrupt, SystemExit: the run was stopped; its processes have ended.
    """
    for old in (run_dir / FOLDER).glob("rank-*"):
        old.unlink()
    Launch(config_values(config), resume).write(run_dir)
    words = run_dir / FOLDER / "torchrun.txt"
    with words.open("wb") as output:
        process = subprocess.Popen(
            tied([*torchrun(config), "-m", "igrpo.cli.worker", str(run_dir)]),
            stdin=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,  # Ctrl-C must reach it only through this process
            env=os.environ
            | {"OMP_NUM_THREADS": str(config.trainer.threads), "TORCH_FR_BUFFER_SIZE": "0"}
            | starter_variables(),
        )
        try:
            code = process.wait()
        except BaseException as stop:
            _stop(process)
            ends = _ends(run_dir)
            if 0 not in ends or ends[0].status == "lost":  # it was waiting for another process
                _correct_status(RunDirectory(run_dir), ends, f"stopped: {type(stop).__name__}")
            raise
    ends = _ends(run_dir)
    if code == 0 and 0 in ends and ends[0].summary is not None:
        return ends[0].summary
    pause = next((end for end in ends.values() if end.status == "paused"), None)
    if pause is not None:
        _correct_status(RunDirectory(run_dir), ends, pause.message)
        raise RewardPausedError(pause.message, pause.setting)
    reason = _reason(ends, config.processes)
    if reason is None:
        if any(end.status == "stopped" for end in ends.values()):
            raise SystemExit(128 + signal.SIGTERM)  # they were stopped, but not by this process
        reason = f"torchrun ended with exit code {code}; its last words are in {words}"
    for path in sorted((run_dir / FOLDER).glob("rank-*.txt")):
        log.error("%s: %s", path.stem, path.read_text(encoding="utf-8"), extra={FILE_ONLY: True})
    _correct_status(RunDirectory(run_dir), ends, reason)
    raise RanksError(reason)


def _reason(ends: Mapping[int, EndOfRank], processes: int) -> str | None:
    """Return the reason why the run ended; None if there is none.

    It is the first error of a process, else the processes that were killed, else the first process that was ``lost``.
    """

    def first(status: str) -> str | None:
        found = sorted((end for end in ends.values() if end.status == status), key=lambda end: end.time)
        return found[0].message if found else None

    silent = [str(number) for number in range(processes) if number not in ends]
    killed = (
        f"process {', '.join(silent)} of {processes} (they count from 0) died without a word, as one does that is "
        "killed: by hand, or by the system when memory runs out"
    )
    return first("failed") or (killed if 0 < len(silent) < processes else None) or first("lost")


def _correct_status(directory: RunDirectory, ends: Mapping[int, EndOfRank], reason: str) -> None:
    """Correct the run's status and reason if the main process was killed, or ended because of another process."""
    main_knew = 0 in ends and ends[0].status == "failed"
    if main_knew or not directory.record_file.exists() or directory.read_record().status == "FINISHED":
        return
    status: RunStatus = "FAILED" if any(end.status == "failed" for end in ends.values()) else "KILLED"
    deadline = time.monotonic() + _LAST_S
    while True:
        try:
            with directory.acquire():
                record = directory.finish(status, error=reason)
            break
        except RunDirectoryLockedError:  # the main process has not noticed yet that torchrun has ended
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)
    if record.mlflow_tracking_uri is None or record.mlflow_run_id is None:
        return
    try:
        mlflow_client(record.mlflow_tracking_uri).set_terminated(record.mlflow_run_id, status)
    except Exception as error:  # whatever MLflow, its database driver or its HTTP client raises
        log.warning("could not write into MLflow that the run has ended (%s): %s", status, error)


def torchrun(config: RunConfig) -> list[str]:
    """Return the command that starts this node's processes, without the module that they run."""
    trainer = config.trainer
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={trainer.devices}", "--max-restarts=0"]
    if trainer.nodes == 1:
        return [*command, "--standalone"]
    return [*command, *_many_nodes(trainer.nodes)]


def _many_nodes(nodes: int) -> list[str]:
    """Return torchrun's rendezvous arguments, from environment variables that the cluster's launcher sets."""
    number = os.environ.get("NODE_RANK", os.environ.get("SLURM_NODEID"))
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT", "29500")
    if number is None or address is None:
        raise ConfigError(
            [
                f"trainer.nodes={nodes}: every node needs NODE_RANK (SLURM_NODEID will do) and MASTER_ADDR in its "
                "environment; start the run on node 0 and `igrpo join RUN_DIR` on the others"
            ]
        )
    return [f"--nnodes={nodes}", f"--node-rank={number}", f"--master-addr={address}", f"--master-port={port}"]


def _stop(process: subprocess.Popen[Any]) -> None:
    """Interrupt the processes, so that they write how the run ended, and kill those that do not end in time.

    Always uses SIGINT: on SIGTERM, Lightning starts a collective in the middle of other work.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            with suppress(psutil.NoSuchProcess):
                torchrun = psutil.Process(process.pid)
                for each in (*torchrun.children(recursive=True), torchrun):  # each is in its own process group
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
            process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _ends(run_dir: Path) -> dict[int, EndOfRank]:
    paths = (run_dir / FOLDER).glob("rank-*.json")
    return {int(p.stem.removeprefix("rank-")): EndOfRank(**json.loads(p.read_text(encoding="utf-8"))) for p in paths}
