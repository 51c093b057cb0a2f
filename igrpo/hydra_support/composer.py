"""Composing runs and grids with Hydra, every one of them checked before the first starts.

Hydra's own entry point (``hydra.main``) prints its errors itself, with a stack and a hint at an environment variable,
and swallows what callbacks raise; so the checks are made here, on the same Hydra object that then runs the jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from itertools import islice, product
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from igrpo.config import ConfigError, RunConfig
from igrpo.hydra_support import resolvers, searchpath
from igrpo.hydra_support.checking import checked
from igrpo.hydra_support.diagnosis import COMPOSITION_ERRORS, diagnose, translate
from igrpo.hydra_support.folders import shipped
from igrpo.hydra_support.launching import launch_jobs, run_search
from igrpo.hydra_support.planned import Cell, Extras, Run, Sweep

#: So many combinations of swept groups are tried for what a grid's runs share.
_MOST_CHOICES = 16


class Composer(AbstractContextManager["Composer"]):
    """Hydra, set up for the primary configuration ``name`` for as long as the block lasts."""

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
        """Compose and check one run; makes no file.

        Raises:
            ConfigError: with every problem that was found.
        """
        composed = self._compose(overrides, RunMode.RUN)
        config = _checked_as_job(composed, 0)
        return Run(config, _directory(composed, "run"), _is_given(overrides, "hydra.run.dir"))

    def check_sweep(self, overrides: Sequence[str], extras: Extras | None = None) -> Sweep:
        """Compose and check every run of a sweep; makes no file.

        Raises:
            ConfigError: with every problem that was found, and in which of the runs it occurs.
        """
        master = self._compose(self._shared(overrides), RunMode.MULTIRUN)
        common = [text for text in overrides if _is_hydras(text)]
        sweeper: Any = OmegaConf.to_container(master.hydra.sweeper, resolve=False)
        launcher: Any = OmegaConf.to_container(master.hydra.launcher, resolve=False)
        params = dict(sweeper.get("params") or {})
        settings = [text for text in overrides if not _is_hydras(text)]
        parsed = self._parse([*(f"{key}={value}" for key, value in params.items()), *settings])
        is_search = not str(sweeper["_target_"]).endswith(".BasicSweeper")
        if is_search and not str(sweeper["_target_"]).endswith(".OptunaSweeper"):
            raise ConfigError([f"hydra.sweeper: {sweeper['_target_']} is not supported; use basic (a grid) or optuna"])
        if is_search:
            fixed = [item for item in parsed if not item.is_sweep_override() and item.get_key_element() not in params]
            jobs: list[list[str]] = [[str(item.input_line) for item in fixed]]
        else:
            (jobs,) = BasicSweeper.split_arguments(parsed, None)
        swept = [item.get_key_element() for item in parsed if item.is_sweep_override()]
        if not swept:
            raise ConfigError(["a sweep needs a setting with several values, such as sweep=NAME or seed=0,1,2"])
        if "sweep" in swept:
            raise ConfigError(["sweep=NAME: one sweep at a time; its grid would be ignored among several"])
        if not jobs:
            raise ConfigError([f"the grid is empty: one of {', '.join(swept)} has no value"])
        same = [job for i, job in enumerate(jobs) if job in jobs[:i]]
        if same:
            raise ConfigError([f"the grid has a run twice ({' '.join(same[0])}); give each value once"])
        keys = tuple(dict.fromkeys(swept))
        cells = self._cells(jobs, keys, common, extras)
        return Sweep(
            name=str(master.hydra.runtime.choices.get("sweep") or "sweep"),
            keys=keys,
            cells=() if is_search else cells,
            base=cells[0].config,
            directory=_directory(master, "sweep"),
            chosen=_is_given(overrides, "hydra.sweep.dir"),
            launcher=str(launcher.pop("_target_")),
            options=launcher,
            trials=int(sweeper.get("n_trials", 1)) if is_search else 0,
        )

    def _cells(
        self, jobs: Sequence[Sequence[str]], keys: Sequence[str], common: Sequence[str], extras: Extras | None
    ) -> tuple[Cell, ...]:
        all_swept, found, cells = [], dict[str, list[int]](), []
        for number, job in enumerate(jobs):
            values = dict(text.split("=", 1) for text in job)
            all_swept.append({key: values[key] for key in keys if key in values})
            try:
                config = _checked_as_job(self._compose([*common, *job], RunMode.RUN), number)
                more = [] if extras is None else extras(config)
                if more:
                    config = _checked_as_job(self._compose([*common, *job, *more], RunMode.RUN), number)
                cells.append(Cell(all_swept[-1], (*job, *more), config))
            except ConfigError as error:
                for problem in error.problems:
                    found.setdefault(problem, []).append(number)
        if found:
            labels = [" ".join(f"{key}={value}" for key, value in swept.items()) for swept in all_swept]
            raise ConfigError([_in_jobs(problem, at, labels) for problem, at in found.items()], "the sweep")
        return tuple(cells)

    def run(self, overrides: Sequence[str], task: TaskFunction) -> None:
        """Run one job; what ``task`` raises comes out as it is, unless it is an error of composing."""
        try:
            _hydra().run(self._name, task, [*overrides, "hydra.mode=RUN"])
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)]) from error

    def launch(self, overrides: Sequence[str], jobs: Sequence[Sequence[str]], task: TaskFunction) -> list[str]:
        """Run ``jobs`` (the overrides of each) with the launcher that ``overrides`` choose, and wait for them.

        Returns what kept jobs from being run at all; what ``task`` has to say it says itself.
        """
        try:
            return launch_jobs(_hydra(), self._name, self._shared(overrides), jobs, task)
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)], "the sweep") from error

    def launcher(self, overrides: Sequence[str]) -> str:
        """The class that starts the runs of a sweep."""
        return str(self._compose(self._shared(overrides), RunMode.MULTIRUN).hydra.launcher["_target_"])

    def search_settings(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The settings of a sweep's sweeper."""
        found: Any = OmegaConf.to_container(self._compose(overrides, RunMode.MULTIRUN).hydra.sweeper, resolve=False)
        return dict(found)

    def search(self, overrides: Sequence[str], task: TaskFunction, *, first: int) -> None:
        """Let the sweeper that ``overrides`` choose pick runs, numbered from ``first`` on, and wait for them."""
        try:
            run_search(_hydra(), self._name, overrides, task, first)
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)], "the search") from error

    @property
    def _loader(self) -> ConfigLoader:
        return GlobalHydra.instance().config_loader()

    def _compose(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        def compose(lines: list[str]) -> DictConfig:
            return self._loader.load_configuration(self._name, lines, mode, from_shell=True)

        try:
            return compose(list(overrides))
        except COMPOSITION_ERRORS as error:
            sweep = mode is RunMode.MULTIRUN
            raise diagnose(error, overrides, compose, self._loader, sweep=sweep) from None

    def _shared(self, overrides: Sequence[str]) -> list[str]:
        """For what all runs of a grid share: a group that is swept stands at the first choice that goes with the rest.

        Hydra leaves it at its default, which need not have the settings that are given beside it, as in
        ``reward=judge,judge_gated reward.model=NAME``.
        """
        try:
            several = self._swept_groups(overrides)
        except COMPOSITION_ERRORS:
            return list(overrides)  # they are diagnosed where they are composed
        lines = {str(item.input_line) for item in several}
        fixed = [text for text in overrides if text not in lines]
        chosen = [[f"{item.get_key_element()}={one}" for one in item.sweep_string_iterator()] for item in several]
        for choices in islice(product(*chosen), _MOST_CHOICES):
            with suppress(*COMPOSITION_ERRORS):
                self._loader.load_configuration(self._name, [*fixed, *choices], RunMode.MULTIRUN, from_shell=True)
                return [*fixed, *choices]
        return [*fixed, *(choices[0] for choices in chosen)]

    def _swept_groups(self, overrides: Sequence[str]) -> list[Any]:
        """Those of the command line, and of the sweep's file where the command line does not set them."""
        parser = OverridesParser.create(config_loader=self._loader)
        given = parser.parse_overrides(list(overrides))
        groups = [text for text, item in zip(overrides, given, strict=True) if self._is_group(item)]
        common = [text for text in overrides if _is_hydras(text)]
        shared = self._loader.load_configuration(self._name, [*common, *groups], RunMode.MULTIRUN, from_shell=True)
        params = dict(shared.hydra.sweeper.get("params") or {})
        grid = parser.parse_overrides([f"{key}={value}" for key, value in params.items()])
        keys = {item.get_key_element() for item in given}
        grid = [item for item in grid if item.get_key_element() not in keys]
        return [item for item in [*given, *grid] if self._is_group(item) and item.is_choice_sweep()]

    def _is_group(self, item: Any) -> bool:
        return not _is_hydras(item.key_or_group) and bool(self._loader.get_group_options(item.key_or_group))

    def _parse(self, lines: list[str]) -> list[Any]:
        try:
            return list(OverridesParser.create(config_loader=self._loader).parse_overrides(lines))
        except COMPOSITION_ERRORS as error:
            raise diagnose(error, lines, lambda _: DictConfig({}), self._loader, sweep=True) from None


def _hydra() -> Hydra:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None, "used outside of its with block"
    return hydra


def _checked_as_job(composed: DictConfig, number: int) -> RunConfig:
    """Check with what a job would see in ``${hydra:...}``."""
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
