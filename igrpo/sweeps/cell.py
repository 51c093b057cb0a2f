"""Function that Hydra calls for each run, and execution of a sweep's run in this process or in its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from igrpo.config import ConfigError, RunConfig, config_values, read_config
from igrpo.config.composing import resolvers
from igrpo.config.composing.checking import checked
from igrpo.config.composing.launching import is_serial
from igrpo.runs.claim import CONFIG_FILE, CONSOLE_FILE, LOG_FILE
from igrpo.runs.console import get_console
from igrpo.runs.job import RunError, execute
from igrpo.runs.printing import print_tree
from igrpo.runs.resume import finished_summary, has_begun
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory, SweepRecord, find_record, run_state
from igrpo.sweeps.watch import line

#: Seconds that a stopped run has to write its status.
_STOP_S = 30.0

# A launcher with its own processes imports this module there before it resolves a job's settings.
resolvers.register()


def hydra_job(settings: DictConfig) -> float | None:
    """Execute a run that Hydra has composed. Returns the value that a search maximises, else None."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        return _run_cell(settings, hydra)
    config = checked(settings)
    print_tree(config)
    try:
        execute(config, Path(hydra.runtime.output_dir), resume=False)
    except RunError as error:
        raise SystemExit(error.code) from None  # for an Exception, Hydra would print another message
    return None


def _run_cell(settings: DictConfig, hydra: HydraConf) -> float | None:
    """Start or resume one run of a sweep. Returns the value that a search maximises; None if the run failed.

    The settings are read from the run's folder; they were checked before the sweep began. Only a search takes them from
    Hydra, because it picks them during the sweep.
    """
    run_dir = Path(hydra.runtime.output_dir)
    sweep = SweepDirectory(run_dir.parent)
    record = sweep.read()
    if record.is_search:
        _join_search(sweep, record, RunDirectory(run_dir), settings, hydra)
        record = sweep.read()
        if not (run_dir / CONFIG_FILE).exists():
            return None  # refused
    cell = next(cell for cell in record.cells if cell.folder == run_dir.name)
    config = read_config(run_dir / CONFIG_FILE)
    if finished_summary(run_dir, config) is None:
        serial = is_serial(str(hydra.launcher["_target_"]))
        done = _here(config, run_dir, cell, record) if serial else _in_own_process(run_dir, record)
        if not done:
            return None
    return development_accuracy(run_dir, config)


def development_accuracy(run_dir: Path, config: RunConfig) -> float | None:
    """Return single-shot accuracy on the development split after the last step, by which settings may be chosen.

    Return None if the run is not finished, or if its reward could not score any answer.
    """
    summary = finished_summary(run_dir, config)
    if summary is None:
        return None
    path = RunDirectory(run_dir).evaluations / f"development-{summary['steps']:06d}.json"
    estimate = json.loads(path.read_text(encoding="utf-8"))["single_shot"]
    return None if estimate is None else float(estimate["value"])


def _join_search(
    sweep: SweepDirectory, record: SweepRecord, directory: RunDirectory, settings: DictConfig, hydra: HydraConf
) -> None:
    """Add the run that a search has picked to the search's record.

    If the settings are invalid, the run is recorded as failed, without a config.yaml.
    """
    if any(cell.folder == directory.path.name for cell in record.cells):
        return
    overrides = tuple(str(text) for text in hydra.overrides.task)
    values = dict(text.split("=", 1) for text in overrides)
    swept = {key: values[key] for key in record.swept_keys if key in values}
    directory.create()
    try:
        directory.save_config(config_values(checked(settings)))
    except ConfigError as error:
        (directory.path / LOG_FILE).write_text(f"{error}\n", encoding="utf-8")
        directory.begin(command=[])
        directory.finish("FAILED", error="; ".join(error.problems))
    sweep.add_cell(CellRecord(number=hydra.job.num, folder=directory.path.name, swept=swept, overrides=overrides))


def _here(config: RunConfig, run_dir: Path, cell: CellRecord, record: SweepRecord) -> bool:
    of = "" if record.is_search else f" of {len(record.cells)}"
    get_console().rule(f"run {cell.number}{of}: {cell.name}", align="left")
    try:
        execute(config, run_dir, resume=has_begun(run_dir), brief=True)
    except RunError:
        return False  # the sweep continues with its other runs, and reports this one again at the end
    get_console().print(line(cell, run_state(RunDirectory(run_dir))), soft_wrap=True)
    return True


def _in_own_process(run_dir: Path, record: SweepRecord) -> bool:
    """Execute a run in its own process, so that a crash does not affect other runs in a launcher's pool."""
    command = [sys.executable, "-m", "igrpo", "train", f"resume={run_dir}"]
    with (run_dir / CONSOLE_FILE).open("ab") as console:
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
    return code == 0


def stop_runs(sweep: SweepDirectory) -> None:
    """Stop the runs of a sweep that are still active on this machine, and correct their statuses."""
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
    for process in psutil.wait_procs(others, timeout=_STOP_S)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    repair_stale_runs(None, [sweep.path])


def _stop(process: subprocess.Popen[Any]) -> None:
    """Terminate the run, so that it writes its status, and kill it if it does not end in time."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write_end(directory: RunDirectory, code: int) -> None:
    """Write the status of a run whose process could not do so: it was killed, or ended before the run began."""
    reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if not directory.record_file.exists():
        with directory.acquire():
            directory.begin(command=[])
            directory.finish("FAILED", error=f"{reason}: {_last_line(directory.path / CONSOLE_FILE)}")
    elif repair_stale_runs(None, [directory.path]):  # empty if the run wrote its own status
        with directory.acquire():
            directory.finish("KILLED", ended=directory.last_sign_of_life(), error=reason)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def jobs_of(cells: Sequence[CellRecord]) -> list[list[str]]:
    """Return the overrides of each run for a launcher, including the run's folder in the sweep."""
    return [[*cell.overrides, f"hydra.sweep.subdir='{cell.folder}'"] for cell in cells]
