"""Training in several processes: this process starts torchrun, waits for it and reports how the run ended.

The processes end when this one ends (`igrpo.runs.lifeline`). Lightning's own launcher is not used, because it would
start the whole command line again in every process, even that of a sweep.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from igrpo.config import ConfigError, RunConfig, config_values
from igrpo.console import footer_of, get_console
from igrpo.processes import wait_ended
from igrpo.runs.command import current_command
from igrpo.runs.lifecycle import EXIT_FAILED, EndedError, Ending, Terminated
from igrpo.runs.lifeline import starter_variables, tied
from igrpo.runs.log_file import FILE_ONLY
from igrpo.runs.mlflow_client import mlflow_client
from igrpo.runs.rank_records import FOLDER, Launch, RankRecord, read_records
from igrpo.runs.run_directory import RunDirectory, RunStatus
from igrpo.runs.run_lock import RunDirectoryLockedError

log = logging.getLogger(__name__)

#: Module that each process runs, as arguments of torchrun.
WORKER = ("-m", "igrpo.runs.worker")

#: Seconds that the processes of a stopped run have to write their status.
STOP_S = 60.0
_KILLED_WITHIN_S = 10.0

#: Seconds that a process may outlive torchrun, which it watches.
_LAST_S = 5.0


def train_in_processes(config: RunConfig, run_dir: Path, *, resume: bool) -> Mapping[str, Any]:
    """Run `training_run.train` in ``trainer.devices`` processes on this node (and those that joined on others).

    Raises:
        EndedError: a process failed, or its reward paused, or all were stopped by others; the reason is that of the
            first one that failed.
        KeyboardInterrupt, Terminated: this process was stopped; the others have ended.
    """
    for old in (run_dir / FOLDER).glob("rank-*"):
        old.unlink()
    Launch(config_values(config), resume, current_command()).write(run_dir)
    errors = run_dir / FOLDER / "torchrun.txt"
    with errors.open("wb") as output, _above_footer() as (stdout, variables):
        process = subprocess.Popen(
            tied([*torchrun(config), *WORKER, str(run_dir)]),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=output,
            start_new_session=True,  # Ctrl-C must reach it only through this process
            env=os.environ
            | {"OMP_NUM_THREADS": str(config.trainer.threads), "TORCH_FR_BUFFER_SIZE": "0"}
            | variables
            | starter_variables(),
        )
        try:
            code = process.wait()
        except BaseException as stop:
            _stop(process)
            records = read_records(run_dir)
            if 0 not in records or records[0].ending.kind == "lost":  # it was waiting for another process
                _correct_status(RunDirectory(run_dir), records, Ending.of(stop))
            raise
    records = read_records(run_dir)
    if code == 0 and 0 in records and records[0].summary is not None:
        return records[0].summary
    ending = _cause(records, config.processes)
    if ending is None:
        reason = f"torchrun ended with exit code {code}; its error output is in {errors}"
        ending = Ending("lost", reason, EXIT_FAILED)
    if ending.kind in {"failed", "lost"}:
        for path in sorted((run_dir / FOLDER).glob("rank-*.txt")):
            log.error("%s: %s", path.stem, path.read_text(encoding="utf-8"), extra={FILE_ONLY: True})
    if ending.kind != "stopped":
        _correct_status(RunDirectory(run_dir), records, ending)
    raise EndedError(ending)


@contextmanager
def _above_footer() -> Iterator[tuple[int | None, dict[str, str]]]:
    """Yield the standard output for the processes, as Popen takes it, and environment variables.

    If this process redraws lines at the bottom of the terminal, as for a sweep, it prints what the others write above
    them, and the others redraw nothing. Otherwise they get the terminal itself.
    """
    console = get_console()
    if not footer_of(console).is_used:
        yield None, {}
        return
    reading, writing = os.pipe()
    copier = threading.Thread(target=_print_lines, args=(reading,), name="output", daemon=True)
    copier.start()
    try:
        yield writing, {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": str(console.width)}
    finally:
        os.close(writing)
        copier.join(_LAST_S)  # the pipe is open for as long as any process lives


def _print_lines(reading: int) -> None:
    with open(reading, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            get_console().print(line.rstrip("\n"), soft_wrap=True)


def _cause(records: Mapping[int, RankRecord], processes: int) -> Ending | None:
    """Return the ending of the process that ended the run; None if no process left a record.

    In this order: a reward that paused, the first error, a killed process, a stop by others, a lost connection.
    """

    def first(kind: str) -> Ending | None:
        of_kind = sorted((record for record in records.values() if record.ending.kind == kind), key=lambda r: r.time)
        return of_kind[0].ending if of_kind else None

    silent = [str(rank) for rank in range(processes) if rank not in records]
    reason = (
        f"process {', '.join(silent)} of {processes} (counted from 0) left no record of its end: it was killed, "
        "by hand or because memory ran out"
    )
    killed = Ending("lost", reason, EXIT_FAILED) if 0 < len(silent) < processes else None
    return first("paused") or first("failed") or killed or first("lost") or first("stopped")


def _correct_status(directory: RunDirectory, records: Mapping[int, RankRecord], ending: Ending) -> None:
    """Correct the run's status and reason if the main process was killed, or ended because of another process."""
    main_knew = 0 in records and records[0].ending.kind == "failed"
    if main_knew or not directory.record_file.exists() or directory.read_record().status == "FINISHED":
        return
    status: RunStatus = "FAILED" if any(record.ending.kind == "failed" for record in records.values()) else "KILLED"
    deadline = time.monotonic() + _LAST_S
    while True:
        try:
            with directory.acquire():
                record = directory.finish(status, error=ending.reason)
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
        log.warning("could not write to MLflow that the run has ended (%s): %s", status, error)


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
    """Interrupt the processes, so that they write how the run ended; kill them after a deadline or a second signal.

    Always uses SIGINT: on SIGTERM, Lightning starts a collective in the middle of other work.
    """
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, Terminated):
        killed: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            torchrun = psutil.Process(process.pid)
            killed = [*torchrun.children(recursive=True), torchrun]  # each is in its own process group
        for each in killed:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        wait_ended(killed, _KILLED_WITHIN_S)  # the run's files are theirs until they are gone
