"""Checks of runs and sweeps with Hydra, all of them before the first run starts, and their launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igrpo.config import ConfigError
from igrpo.config.composing.composition import Composition
from igrpo.config.composing.diagnosis import COMPOSITION_ERRORS, not_installed, translate
from igrpo.config.composing.grid import Job, combinations, effective, fit, swept_problems
from igrpo.config.composing.launching import launch_jobs
from igrpo.config.composing.overrides import in_shell, is_hydras
from igrpo.config.composing.planned import Cell, Extras, Run, Search, Sweep


class Composer(Composition):
    """Composes, checks and launches runs and sweeps. A context manager, since Hydra is set up globally."""

    def check_run(self, overrides: Sequence[str], number: int = 0) -> Run:
        """Compose and check one run, without writing files. ``number`` is that of its job in a sweep.

        Raises:
            ConfigError: lists every problem found.
        """
        config, composed = self._checked_job(overrides, number)
        return Run(config, _directory(composed, "run"), _is_given(overrides, "hydra.run.dir"))

    def has_grid(self, overrides: Sequence[str]) -> bool:
        """True if a preset defines swept settings (``hydra.sweeper.params``).

        Values on the command line do not count. False if the settings cannot be composed.
        """
        composed = self._try_compose(self._shared(overrides), RunMode.MULTIRUN)
        return composed is not None and bool(composed.hydra.sweeper.get("params"))

    def check_sweep(self, overrides: Sequence[str], extras: Extras | None = None) -> Sweep:
        """Compose and check every run of a sweep, without writing files.

        Raises:
            ConfigError: lists every problem found, and the runs in which it occurs.
        """
        master = self._compose(self._shared(overrides), RunMode.MULTIRUN)
        common = [text for text in overrides if is_hydras(text)]
        settings = [text for text in overrides if not is_hydras(text)]
        sweeper: Any = OmegaConf.to_container(master.hydra.sweeper, resolve=False)
        launcher: Any = OmegaConf.to_container(master.hydra.launcher, resolve=False)
        preset = [f"{key}={value}" for key, value in dict(sweeper.get("params") or {}).items()]
        parsed = self._parse([*preset, *settings])
        items = effective(parsed)
        is_search = _is_search(sweeper)
        swept = _swept_keys(items, parsed, is_search=is_search)
        problems = swept_problems(items, is_search=is_search, is_group=self._is_group)
        if problems:
            raise ConfigError(problems, "the sweep")
        search, note, jobs = None, None, list[Job]()
        if is_search:
            fixed = {key: str(item.input_line) for key, item in items.items() if not item.is_sweep_override()}
            jobs, search = [fixed], _search(sweeper, fixed, {key: items[key] for key in swept})
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
            search=search,
            note=note,
        )

    def _fit(self, items: Mapping[str, Override], common: Sequence[str]) -> tuple[list[Job], str | None]:
        """Return the jobs of a grid, each with only the settings that exist in it, and a note on what was left out."""
        jobs = combinations(items)
        groups = [key for key, item in items.items() if self._is_group(item)]
        if not any(items[key].is_sweep_override() for key in groups):
            return jobs, None  # without swept groups, a setting exists in all jobs or in none
        fitted = fit(jobs, items, groups, lambda chosen: self._try_compose([*common, *chosen], RunMode.RUN))
        return list(fitted.jobs), fitted.note

    def _cells(
        self, jobs: Sequence[Job], keys: Sequence[str], common: Sequence[str], extras: Extras | None
    ) -> tuple[Cell, ...]:
        all_swept, found, cells = [], dict[str, list[int]](), []
        for number, job in enumerate(jobs):
            lines = list(job.values())
            all_swept.append({key: job[key].partition("=")[2] for key in keys if key in job})
            try:
                config, _ = self._checked_job([*common, *lines], number)
                more = [] if extras is None else extras(config)
                if more:
                    config, _ = self._checked_job([*common, *lines, *more], number)
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
            self._hydra.run(self._name, task, [*overrides, "hydra.mode=RUN"])
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)]) from error

    def launch(self, overrides: Sequence[str], jobs: Sequence[Sequence[str]], task: TaskFunction) -> list[str]:
        """Run ``jobs`` (the overrides of each) with the launcher that ``overrides`` choose, and wait for them.

        Returns the errors that kept jobs from running; ``task`` reports its own errors.
        """
        try:
            return launch_jobs(self._hydra, self._name, self._shared(overrides), jobs, task)
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)], "the sweep") from error

    def launcher(self, overrides: Sequence[str]) -> str:
        """Return the class name of the launcher that starts the runs of a sweep."""
        return str(self._compose(self._shared(overrides), RunMode.MULTIRUN).hydra.launcher["_target_"])


def _is_search(sweeper: Mapping[str, Any]) -> bool:
    target = str(sweeper["_target_"])
    if target.endswith(".BasicSweeper"):
        return False
    if not target.startswith("optuna."):
        raise ConfigError([f"hydra.sweeper: {target} is not supported; use basic (a grid) or search"])
    if find_spec("optuna") is None:
        raise ConfigError([not_installed("hydra/sweeper", "search")])
    return True


def _swept_keys(items: Mapping[str, Override], parsed: Sequence[Override], *, is_search: bool) -> list[str]:
    """Return the keys of the swept settings.

    A preset grid names its runs by its keys, even if the command line gives a key a single value.
    """
    naming = items.values() if is_search else parsed
    swept = list(dict.fromkeys(item.get_key_element() for item in naming if item.is_sweep_override()))
    if not swept and is_search:
        raise ConfigError([_nothing_to_search(items, parsed)], "the search")
    if not swept:
        raise ConfigError(["a sweep needs a setting with several values, such as sweep=NAME or seed=0,1,2"])
    if "sweep" in swept:
        raise ConfigError(["sweep=NAME: one sweep at a time; its grid would be ignored among several"])
    return swept


def _search(sweeper: Mapping[str, Any], fixed: Mapping[str, str], space: Mapping[str, Override]) -> Search:
    for name in ("n_trials", "n_jobs"):
        if not isinstance(sweeper[name], int) or sweeper[name] < 1:
            raise ConfigError([f"hydra.sweeper.{name}={sweeper[name]}: give a whole number of at least 1"])
    return Search(sweeper["n_trials"], sweeper["n_jobs"], sweeper["sampler"], fixed, space)


def _nothing_to_search(items: Mapping[str, Override], parsed: Sequence[Override]) -> str:
    key = next((item.get_key_element() for item in parsed if item.is_sweep_override()), "trainer.learning_rate")
    given = f"{in_shell(str(items[key].input_line))} is one value; " if key in items else ""
    return f"{given}there is nothing to search: give a range, such as {in_shell(f'{key}=interval(1e-5,1e-3)')}"


def _directory(composed: DictConfig, kind: str) -> Path:
    try:
        return Path(str(composed.hydra[kind].dir))
    except OmegaConfBaseException as error:
        raise ConfigError([f"hydra.{kind}.dir: {translate(error)}"]) from None


def _is_given(overrides: Sequence[str], key: str) -> bool:
    return any(text.partition("=")[0].lstrip("+") == key for text in overrides)


def _in_jobs(problem: str, jobs: list[int], labels: list[str]) -> str:
    if len(jobs) == len(labels):
        return f"{problem} (in all {len(labels)} runs)"
    where = f"run {jobs[0]}: {labels[jobs[0]]}"
    return f"{problem} (in {len(jobs)} of {len(labels)} runs; {where})"
