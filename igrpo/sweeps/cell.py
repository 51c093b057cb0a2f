"""Function that Hydra calls for each run, and execution of a sweep's run in this process or in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from igrpo.config import RunConfig, read_config
from igrpo.config.composing import resolvers
from igrpo.config.composing.checking import checked
from igrpo.config.composing.launching import is_serial
from igrpo.processes import wait_ended
from igrpo.runs.console import get_console
from igrpo.runs.execution import execute
from igrpo.runs.lifecycle import RunError
from igrpo.runs.resume import finished_summary, has_begun
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory, SweepRecord, find_record, run_state
from igrpo.sweeps.watch import line

#: Seconds that a stopped run has to write its status.
STOP_S = 30.0
_KILLED_WITHIN_S = 10.0

# A launcher with its own processes imports this module there before it resolves a job's settings.
resolvers.register()


def hydra_job(settings: DictConfig) -> None:
    """Execute a run that Hydra has composed, or in a sweep the run whose folder Hydra names."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        _run_cell(Path(hydra.runtime.output_dir), str(hydra.launcher["_target_"]))
        return
    config = checked(settings)
    try:
        execute(config, Path(hydra.runtime.output_dir), resume=False)
    except RunError as error:
        raise SystemExit(error.code) from None  # for an Exception, Hydra would print another message


def _run_cell(run_dir: Path, launcher: str) -> None:
    """Start or resume one run of a sweep, with the settings in its folder, which were checked before."""
    record = SweepDirectory(run_dir.parent).read()
    cell = next(cell for cell in record.cells if cell.folder == run_dir.name)
    config = read_config(RunDirectory(run_dir).config)
    if finished_summary(run_dir, config) is not None:
        return
    if is_serial(launcher):
        _here(config, run_dir, cell, record)
    else:
        _in_own_process(run_dir, record)


def _here(config: RunConfig, run_dir: Path, cell: CellRecord, record: SweepRecord) -> None:
    of = "" if record.is_search else f" of {len(record.cells)}"
    get_console().rule(f"run {cell.number}{of}: {cell.name}", align="left")
    try:
        execute(config, run_dir, resume=has_begun(run_dir), brief=True)
    except RunError:
        return  # the sweep continues with its other runs, and reports this one again at the end
    get_console().print(line(cell, run_state(RunDirectory(run_dir))), soft_wrap=True)


def _in_own_process(run_dir: Path, record: SweepRecord) -> None:
    """Execute a run in its own process, so that a crash does not affect other runs in a launcher's pool."""
    command = [sys.executable, "-m", "igrpo", "train", f"resume={run_dir}"]
    with RunDirectory(run_dir).console.open("ab") as console:
        process = subprocess.Popen(
            command, cwd=record.working_directory, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
    if code != 0:
        _write_end(RunDirectory(run_dir), code)


def stop_runs(sweep: SweepDirectory) -> None:
    """Stop the runs of a sweep that are still active on this machine, and correct their statuses.

    Takes a bounded time, in which signals are ignored, so that a second Ctrl-C does not leave runs behind.
    """
    with _signals_ignored():
        _stop_runs(sweep)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_runs(sweep: SweepDirectory) -> None:
    marks = [
        record.process
        for cell in sweep.read().cells
        if (record := find_record(sweep.run_directory(cell))) is not None and record.status == "RUNNING"
    ]
    processes = [psutil.Process(mark.pid) for mark in marks if mark.is_here() and not mark.is_dead()]
    others = [process for process in processes if process.pid != os.getpid()]
    for process in others:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    stubborn = wait_ended(others, STOP_S)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_ended(stubborn, _KILLED_WITHIN_S)  # the status of a run that is still alive is not repaired
    repair_stale_runs(None, [sweep.path])


def _stop(process: subprocess.Popen[Any]) -> None:
    """Terminate the run, so that it writes its status, and kill it if it does not end in time."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write_end(directory: RunDirectory, code: int) -> None:
    """Write the status of a run whose process could not do so: it was killed, or ended before the run began."""
    reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if not directory.record_file.exists():
        with directory.acquire():
            directory.begin(command=[])
            directory.finish("FAILED", error=f"{reason}: {_last_line(directory.console)}")
    elif repair_stale_runs(None, [directory.path]):  # empty if the run wrote its own status
        with directory.acquire():
            directory.finish("KILLED", ended=directory.last_sign_of_life(), error=reason)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
