"""Composition of runs and grids with Hydra. All runs are checked before the first one starts.

Hydra's own entry point (``hydra.main``) prints errors itself, with a stack trace and a hint at an environment variable,
and suppresses exceptions raised in callbacks. The checks are therefore made here, on the Hydra object that runs the
jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from igrpo.config import ConfigError, RunConfig
from igrpo.config.composing import resolvers, searchpath
from igrpo.config.composing.checking import checked
from igrpo.config.composing.diagnosis import COMPOSITION_ERRORS, diagnose, translate
from igrpo.config.composing.folders import shipped
from igrpo.config.composing.grid import Job, combinations, effective, fit, shared_by_all, swept_problems
from igrpo.config.composing.launching import launch_jobs, run_search
from igrpo.config.composing.overrides import in_shell
from igrpo.config.composing.planned import Cell, Extras, Run, Sweep


class Composer(AbstractContextManager["Composer"]):
    """Context manager that sets up Hydra for the primary configuration ``name``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Composer:
        searchpath.install()
        resolvers.register()
        self._before = HydraConfig.instance().cfg, GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        self._scope = initialize_config_dir(str(shipped("conf")), job_name=self._name, version_base="1.3")
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, trace)
        HydraConfig.instance().cfg, hydra = self._before
        if hydra is not None:
            GlobalHydra.instance().initialize(hydra)

    def check_run(self, overrides: Sequence[str]) -> Run:
        """Compose and check one run, without writing files.

        Raises:
            ConfigError: lists every problem found.
        """
        composed = self._compose(overrides, RunMode.RUN)
        config = _checked_as_job(composed, 0)
        return Run(config, _directory(composed, "run"), _is_given(overrides, "hydra.run.dir"))

    def has_grid(self, overrides: Sequence[str]) -> bool:
        """True if a preset defines swept settings (``hydra.sweeper.params``).

        Values on the command line do not count. False if the settings cannot be composed.
        """
        composed = self._composed(self._shared(overrides), RunMode.MULTIRUN)
        return composed is not None and bool(composed.hydra.sweeper.get("params"))

    def check_sweep(self, overrides: Sequence[str], extras: Extras | None = None) -> Sweep:
        """Compose and check every run of a sweep, without writing files.

        Raises:
            ConfigError: lists every problem found, and the runs in which it occurs.
        """
        master = self._compose(self._shared(overrides), RunMode.MULTIRUN)
        common = [text for text in overrides if _is_hydras(text)]
        sweeper: Any = OmegaConf.to_container(master.hydra.sweeper, resolve=False)
        launcher: Any = OmegaConf.to_container(master.hydra.launcher, resolve=False)
        settings = [text for text in overrides if not _is_hydras(text)]
        parsed = self._parse(
            [*(f"{key}={value}" for key, value in dict(sweeper.get("params") or {}).items()), *settings]
        )
        items = effective(parsed)
        is_search = not str(sweeper["_target_"]).endswith(".BasicSweeper")
        if is_search and not str(sweeper["_target_"]).endswith(".OptunaSweeper"):
            raise ConfigError([f"hydra.sweeper: {sweeper['_target_']} is not supported; use basic (a grid) or optuna"])
        # a preset grid names its runs by its keys, even if the command line gives a key a single value
        naming = items.values() if is_search else parsed
        swept = list(dict.fromkeys(item.get_key_element() for item in naming if item.is_sweep_override()))
        if not swept and is_search:
            raise ConfigError([_nothing_to_search(items, parsed)], "the search")
        if not swept:
            raise ConfigError(["a sweep needs a setting with several values, such as sweep=NAME or seed=0,1,2"])
        if "sweep" in swept:
            raise ConfigError(["sweep=NAME: one sweep at a time; its grid would be ignored among several"])
        problems = swept_problems(items, is_search=is_search, is_group=self._is_group)
        if problems:
            raise ConfigError(problems, "the sweep")
        note, jobs = None, list[Job]()
        if is_search:
            jobs = [{key: str(item.input_line) for key, item in items.items() if not item.is_sweep_override()}]
        else:
            jobs, note = self._fit(items, common)
        cells = self._cells(jobs, swept, common, extras)
        return Sweep(
            name=str(master.hydra.runtime.choices.get("sweep") or "sweep"),
            keys=tuple(swept),
            cells=() if is_search else cells,
            base=cells[0].config,
            directory=_directory(master, "sweep"),
            chosen=_is_given(overrides, "hydra.sweep.dir"),
            launcher=str(launcher.pop("_target_")),
            options=launcher,
            trials=int(sweeper.get("n_trials", 1)) if is_search else 0,
            note=note,
        )

    def _fit(self, items: Mapping[str, Override], common: Sequence[str]) -> tuple[list[Job], str | None]:
        """Return the jobs of a grid, each with only the settings that exist in it, and a note on what was left out."""
        jobs = combinations(items)
        groups = [key for key, item in items.items() if self._is_group(item)]
        if not any(items[key].is_sweep_override() for key in groups):
            return jobs, None  # without swept groups, a setting exists in all jobs or in none
        fitted = fit(jobs, items, groups, lambda chosen: self._composed([*common, *chosen], RunMode.RUN))
        return list(fitted.jobs), fitted.note

    def _cells(
        self, jobs: Sequence[Job], keys: Sequence[str], common: Sequence[str], extras: Extras | None
    ) -> tuple[Cell, ...]:
        all_swept, found, cells = [], dict[str, list[int]](), []
        for number, job in enumerate(jobs):
            lines = list(job.values())
            all_swept.append({key: job[key].partition("=")[2] for key in keys if key in job})
            try:
                config = _checked_as_job(self._compose([*common, *lines], RunMode.RUN), number)
                more = [] if extras is None else extras(config)
                if more:
                    config = _checked_as_job(self._compose([*common, *lines, *more], RunMode.RUN), number)
                cells.append(Cell(all_swept[-1], (*lines, *more), config))
            except ConfigError as error:
                for problem in error.problems:
                    found.setdefault(problem, []).append(number)
        if found:
            labels = [" ".join(f"{key}={value}" for key, value in swept.items()) for swept in all_swept]
            raise ConfigError([_in_jobs(problem, at, labels) for problem, at in found.items()], "the sweep")
        return tuple(cells)

    def run(self, overrides: Sequence[str], task: TaskFunction) -> None:
        """Run one job. Exceptions of ``task`` propagate; composition errors become ConfigError."""
        try:
            _hydra().run(self._name, task, [*overrides, "hydra.mode=RUN"])
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)]) from error

    def launch(self, overrides: Sequence[str], jobs: Sequence[Sequence[str]], task: TaskFunction) -> list[str]:
        """Run ``jobs`` (the overrides of each) with the launcher that ``overrides`` choose, and wait for them.

        Returns the errors that kept jobs from running; ``task`` reports its own errors.
        """
        try:
            return launch_jobs(_hydra(), self._name, self._shared(overrides), jobs, task)
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)], "the sweep") from error

    def launcher(self, overrides: Sequence[str]) -> str:
        """Return the class name of the launcher that starts the runs of a sweep."""
        return str(self._compose(self._shared(overrides), RunMode.MULTIRUN).hydra.launcher["_target_"])

    def search_settings(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the settings of the sweeper."""
        found: Any = OmegaConf.to_container(self._compose(overrides, RunMode.MULTIRUN).hydra.sweeper, resolve=False)
        return dict(found)

    def search(self, overrides: Sequence[str], task: TaskFunction, *, first: int) -> None:
        """Run the sweeper that ``overrides`` choose and wait for its runs, which are numbered from ``first`` on."""
        try:
            run_search(_hydra(), self._name, overrides, task, first)
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)], "the search") from error

    @property
    def _loader(self) -> ConfigLoader:
        return GlobalHydra.instance().config_loader()

    def _compose(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        try:
            return self._loader.load_configuration(self._name, list(overrides), mode, from_shell=True)
        except COMPOSITION_ERRORS as error:
            raise self._diagnosed(error, overrides, mode) from None

    def _diagnosed(self, error: Exception, overrides: Sequence[str], mode: RunMode) -> ConfigError:
        def compose(lines: list[str]) -> DictConfig:
            return self._loader.load_configuration(self._name, lines, mode, from_shell=True)

        return diagnose(error, overrides, compose, self._loader, sweep=mode is RunMode.MULTIRUN)

    def _composed(self, overrides: Sequence[str], mode: RunMode) -> DictConfig | None:
        """Compose the overrides; None if they cannot be composed."""
        with suppress(*COMPOSITION_ERRORS):
            return self._loader.load_configuration(self._name, list(overrides), mode, from_shell=True)
        return None

    def _shared(self, overrides: Sequence[str]) -> list[str]:
        """Return overrides for composing what all runs of a grid share."""
        compose = partial(self._composed, mode=RunMode.MULTIRUN)
        try:
            return shared_by_all(overrides, self._parser.parse_overrides, compose, self._is_group)
        except COMPOSITION_ERRORS:
            return list(overrides)  # the error is diagnosed when they are composed

    @property
    def _parser(self) -> OverridesParser:
        return OverridesParser.create(config_loader=self._loader)

    def _is_group(self, item: Any) -> bool:
        return not _is_hydras(item.key_or_group) and bool(self._loader.get_group_options(item.key_or_group))

    def _parse(self, lines: list[str]) -> list[Override]:
        try:
            return list(self._parser.parse_overrides(lines))
        except COMPOSITION_ERRORS as error:
            raise self._diagnosed(error, lines, RunMode.MULTIRUN) from None


def _nothing_to_search(items: Mapping[str, Override], parsed: Sequence[Override]) -> str:
    key = next((item.get_key_element() for item in parsed if item.is_sweep_override()), "trainer.learning_rate")
    given = f"{in_shell(str(items[key].input_line))} is one value; " if key in items else ""
    return f"{given}there is nothing to search: give a range, such as {in_shell(f'{key}=interval(1e-5,1e-3)')}"


def _hydra() -> Hydra:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None, "used outside of its with block"
    return hydra


def _checked_as_job(composed: DictConfig, number: int) -> RunConfig:
    """Validate with the values of ``${hydra:...}`` that job ``number`` would see."""
    with read_write(composed.hydra), open_dict(composed.hydra):
        composed.hydra.job.num = number
        composed.hydra.job.id = str(number)
        composed.hydra.mode = composed.hydra.mode or RunMode.RUN
        composed.hydra.runtime.output_dir = str(Path.cwd())
    HydraConfig.instance().set_config(composed)
    return checked(composed)


def _directory(composed: DictConfig, kind: str) -> Path:
    try:
        return Path(str(composed.hydra[kind].dir))
    except OmegaConfBaseException as error:
        raise ConfigError([f"hydra.{kind}.dir: {translate(error)}"]) from None


def _is_hydras(text: str) -> bool:
    return text.lstrip("+~").startswith(("hydra.", "hydra/"))


def _is_given(overrides: Sequence[str], key: str) -> bool:
    return any(text.partition("=")[0].lstrip("+") == key for text in overrides)


def _in_jobs(problem: str, jobs: list[int], labels: list[str]) -> str:
    if len(jobs) == len(labels):
        return f"{problem} (in all {len(labels)} runs)"
    where = f"run {jobs[0]}: {labels[jobs[0]]}"
    return f"{problem} (in {len(jobs)} of {len(labels)} runs; {where})"
