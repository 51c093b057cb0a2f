"""Execution of a sweep from its checked plan to its report, and resumption of a sweep."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from igrpo.config import ConfigError, RunConfig
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.folders import choices
from igrpo.config.composing.overrides import quoted
from igrpo.config.composing.planned import Sweep
from igrpo.runs.claim import claim, remove_if_empty
from igrpo.runs.command import recipe
from igrpo.runs.console import get_console, waiting
from igrpo.runs.execution import import_training, resume_command
from igrpo.runs.lifecycle import RunError, SignalHandlers
from igrpo.runs.links import absolute_tracking_uri
from igrpo.runs.printing import print_settings
from igrpo.runs.resume import finished_summary, has_setting, require_files, resumed_config
from igrpo.runs.run_lock import RunDirectoryLockedError
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory, SweepRecord, plan_cell
from igrpo.sweeps.cell import stop_runs
from igrpo.sweeps.launch import run_cells
from igrpo.sweeps.mlflow_parent import open_parent
from igrpo.sweeps.plan import Plan, plan_of, print_plan, print_time
from igrpo.sweeps.progress import SweepProgress
from igrpo.sweeps.result import publish, resume_arguments, show
from igrpo.sweeps.search import continue_search, is_refused, write_best
from igrpo.sweeps.time_left import Expected, expect
from igrpo.sweeps.tuned import tuned_overrides

_FLAGS_WITHOUT_RUNS = {"check", "plan"}


def start_sweep(overrides: Sequence[str], tuned: Sequence[Path], flags: frozenset[str]) -> None:
    """Check all runs, print the plan, execute the runs, and print and publish the results.

    Raises:
        ConfigError: the settings are invalid; nothing was started.
        RunError: a run failed; it was reported when it failed and at the end.
    """
    with Composer("train") as composer:
        with waiting("checking the settings of every run"):
            planned = composer.check_sweep(overrides, tuned_overrides(tuned, overrides) if tuned else None)
            require_files(planned.configs[:1] if planned.is_search else planned.configs)
            plan = plan_of(planned)
        if "verbose" in flags:
            print_settings(planned.base, verbose=True)
        print_plan(plan, planned.cells, planned.note, brief=not flags & {"check", "plan", "verbose"})
        if "check" in flags:
            print(f"{plan.runs} runs, all of them checked" if planned.cells else "checked")
            return
        expected = None if "no-measure" in flags else _print_estimate(planned, plan)
        if "plan" in flags:
            return
        directory = claim(planned.directory, chosen=planned.chosen, setting="hydra.sweep.dir")
        sweep = SweepDirectory(directory)
        try:
            with sweep.acquire():
                record = _write_plan(sweep, planned, overrides)
                _drive(composer, sweep, record.overrides, expected, plan.parallel)
        except ConfigError:
            remove_if_empty(directory)
            raise


def resume_sweep(path: Path, overrides: Sequence[str], flags: frozenset[str]) -> None:
    """Resume a sweep. Finished runs are kept; the others continue from their newest checkpoint.

    The working directory is changed to the one in which the sweep was started, so that relative paths and the user's
    own ./sweeps are found.

    Raises:
        ConfigError: there is no such sweep, a living process works on it, or a setting may not be changed.
        RunError: a run failed.
    """
    sweep = SweepDirectory(path)
    record = _read(sweep)
    hydra, changes = _split(record, overrides)
    if Path(record.working_directory).is_dir():
        os.chdir(record.working_directory)
    with _held(sweep), Composer("train") as composer:
        repair_stale_runs(None, [sweep.path])
        alive = [cell for cell in record.cells if sweep.state(cell).status == "RUNNING"]
        if alive and changes:
            raise ConfigError([f"{changes[0]}: {len(alive)} runs are at work; settings change between runs"], "resume")
        refused = [cell for cell in record.cells if record.is_search and is_refused(sweep, cell)]
        for cell in record.cells:
            run_dir = sweep.run_directory(cell)
            if not run_dir.config.exists() and cell not in refused:  # the driver died while it wrote the plan
                sweep.write_config(cell, anchored(composer.check_run(cell.overrides).config, record.experiment))
        left = [cell for cell in record.cells if cell not in alive and cell not in refused]
        configs = _resumed(sweep, left, changes)
        require_files(list(configs.values()))
        done = [
            cell for cell in left if finished_summary(sweep.run_directory(cell).path, configs[cell.number]) is not None
        ]
        print(f"{len(done)} of {len(record.cells)} runs are finished already")
        if "verbose" in flags and configs:
            print_settings(next(iter(configs.values())), verbose=True)
        if _FLAGS_WITHOUT_RUNS & flags:
            return
        for cell in left:
            sweep.write_config(cell, configs[cell.number])
        _drive(composer, sweep, (*record.overrides, *hydra))


def _resumed(sweep: SweepDirectory, cells: Sequence[CellRecord], changes: Sequence[str]) -> dict[int, RunConfig]:
    """Return the settings of each run. A change applies to runs that have the setting, and is refused if none has."""
    paths = {cell.number: sweep.run_directory(cell).path for cell in cells}
    having = {text: [number for number, path in paths.items() if has_setting(path, text)] for text in changes}
    return {
        number: resumed_config(path, [text for text in changes if number in having[text] or not having[text]])
        for number, path in paths.items()
    }


def _drive(
    composer: Composer,
    sweep: SweepDirectory,
    overrides: Sequence[str],
    expected: Expected | None = None,
    parallel: int = 1,
) -> None:
    """Execute the remaining runs, then print and publish the results, under the sweep's run in MLflow."""
    with open_parent(sweep) as parent:
        master = [*overrides, f"hydra.sweep.dir={quoted(sweep.path)}"]
        progress = SweepProgress(sweep, expected, parallel)
        print(f"the sweep runs in {sweep.path}; another terminal shows its progress: {_watch_command(sweep.path)}")
        try:
            with SignalHandlers():
                if sweep.read().is_search:
                    continue_search(composer, sweep, master, progress)
                else:
                    run_cells(composer, sweep, sweep.read().cells, master, progress)
        except (KeyboardInterrupt, SystemExit):
            stop_runs(sweep)
            print(f"igrpo: the sweep was stopped{recipe(resume_command(sweep.path / '_'))}", file=sys.stderr)
            raise
        record = sweep.read()
        failed = show(sweep, record)
        if record.is_search:
            write_best(sweep, record)
        publish(sweep, record, parent)
        if failed:
            reason = f"{failed} of {len(record.cells)} runs did not finish"
            changes = " ".join(resume_arguments(sweep, record))
            print(f"{reason}{recipe(resume_command(sweep.path / '_'), changes)}")
            raise RunError(reason)


def _watch_command(path: Path) -> str:
    return f"igrpo report {shlex.quote(str(path))} --watch"


def _write_plan(sweep: SweepDirectory, planned: Sweep, overrides: Sequence[str]) -> SweepRecord:
    """Write the list of runs, then the settings of each."""
    base = anchored(planned.base)
    # a search composes its runs later, perhaps in another working directory
    tracking = {"uri": base.tracking.uri, "experiment": base.tracking.experiment}
    added = [f"tracking.{key}={quoted(value)}" for key, value in tracking.items() if planned.is_search and value]
    record = sweep.begin(
        planned.name,
        [*overrides, *added],
        [plan_cell(number, cell.swept, cell.overrides) for number, cell in enumerate(planned.cells)],
        swept_keys=planned.keys,
        is_search=planned.is_search,
        tracking_uri=base.tracking.uri,
        experiment=base.tracking.experiment,
        question=next((choice.description for choice in choices("sweep") if choice.name == planned.name), ""),
    )
    for cell, composed in zip(record.cells, planned.cells, strict=True):
        sweep.write_config(cell, anchored(composed.config, record.experiment))
    return record


def anchored(config: RunConfig, experiment: str | None = None) -> RunConfig:
    """Make the tracking database's address absolute, because runs may start in other working directories.

    ``experiment`` replaces that of the config: MLflow shows the runs of a sweep over data sets in one experiment.
    """
    uri = config.tracking.uri
    if uri is None:
        return config
    update = {"uri": absolute_tracking_uri(uri, Path.cwd())} | (
        {} if experiment is None else {"experiment": experiment}
    )
    return config.model_copy(update={"tracking": config.tracking.model_copy(update=update)})


def _print_estimate(planned: Sweep, plan: Plan) -> Expected | None:
    """Measure a step, print the estimated time, and return the time of each run; None if nothing can be measured."""
    if not plan.is_local:
        get_console().print("estimated time: not measured, since the runs are elsewhere")
        return None
    if planned.base.processes > 1:
        get_console().print("estimated time: not measured, since each run is several processes")
        return None
    import_training()
    from igrpo.sweeps.step_time import measure_step

    with waiting("measuring a step", get_console(stderr=True), lines=True):  # the run itself prints nothing
        try:
            measured = measure_step(planned.base)
        except Exception as error:
            if isinstance(error, ValueError) and len({*map(_source, (planned.base, *planned.configs))}) == 1:
                raise ConfigError([f"{error} (the first run cannot start, and all have this model)"], "sweep") from None
            # run 0 will report it again; the other runs may work
            print(f"estimated time: run 0 cannot be measured ({type(error).__name__}: {error})")
            return None
    configs = dict(enumerate(planned.configs))
    expected = expect(configs, {number: measured.of_run(config) for number, config in configs.items()})
    warm_starts = list(expected.warm_starts.values())
    print_time(plan, list(expected.seconds.values()), measured.step, warm_starts=warm_starts)
    return expected


def _source(config: RunConfig) -> str:
    """Return the name of the model; its other settings may follow the seed."""
    return str(getattr(config.model, "name_or_path", config.model.name))


def _read(sweep: SweepDirectory) -> SweepRecord:
    try:
        return sweep.read()
    except ValueError as error:
        raise ConfigError([str(error)], "resume") from None


def _split(record: SweepRecord, overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split overrides into those of Hydra (the launcher) and those of the runs' settings.

    ``sweep=NAME`` is dropped; NAME must be the sweep's own.
    """
    hydra = [text for text in overrides if text.lstrip("+").startswith("hydra")]
    changes = [text for text in overrides if text not in hydra and text not in record.overrides]
    names = [text.partition("=")[2] for text in changes if text.startswith("sweep=")]
    if names and names != [record.name]:
        raise ConfigError([f"sweep={names[-1]}: this is a sweep '{record.name}'; leave out sweep="], "resume")
    return hydra, [text for text in changes if not text.startswith("sweep=")]


@contextmanager
def _held(sweep: SweepDirectory) -> Iterator[None]:
    try:
        with sweep.acquire():
            yield
    except RunDirectoryLockedError as error:
        raise ConfigError([str(error)], "resume") from None
