"""Execution of a grid as a sweep, which is started, or resumed where it was begun before."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import chdir

from igrpo.config import ConfigError
from igrpo.config.composing.overrides import is_hydras, quoted
from igrpo.runs.lifecycle import RunError
from igrpo.runs.resume import CHANGEABLE
from igrpo.runs.sweep_directory import SweepDirectory
from igrpo.sweeps.sweep import resume_sweep, start_sweep
from igrpo.tools.reproduce.grids import PlannedGrid

#: Settings of a run that say where and how it runs, and not what it trains.
_OF_THE_MACHINE = tuple(name.removesuffix("*") for name in CHANGEABLE if name not in {"trainer.steps", "budget.*"})


def run_grid(planned: PlannedGrid) -> int:
    """Run what is missing of a grid, and return 0, or the exit code of the sweep if a run did not finish.

    Raises:
        ConfigError: the directory has a sweep with other settings, or a living process works on it.
    """
    sweep = planned.directory
    changes = [text for text in planned.overrides if is_hydras(text) or _of_the_machine(text)]
    try:
        if not sweep.exists:
            start_sweep([*planned.overrides, f"hydra.sweep.dir={quoted(sweep.path)}"], (), frozenset({"no-measure"}))
        elif missing_runs(sweep):
            with chdir("."):  # resuming changes to the directory in which the sweep was started
                resume_sweep(sweep.path, changes, frozenset())
        else:
            print(f"{planned.grid.name}: all {len(sweep.read().cells)} runs are finished already ({sweep.path})")
    except RunError as error:
        return error.code
    return 0


def missing_runs(sweep: SweepDirectory) -> int:
    """Return the number of runs of a sweep that are not finished."""
    return sum(sweep.state(cell).status != "FINISHED" for cell in sweep.read().cells)


def check_same(planned: Sequence[PlannedGrid]) -> None:
    """Check that sweeps begun before have the settings that are asked for now.

    Raises:
        ConfigError: they have others; the message names what differs.
    """
    for one in planned:
        if not one.directory.exists:
            continue
        before = _settings(one.directory.read().overrides)
        now = _settings(one.overrides)
        if before != now:
            differing = [text for text in (*now, *before) if (text in now) != (text in before)]
            raise ConfigError(
                [
                    f"{one.directory.path} was begun with other settings ({', '.join(differing)} differ); give the "
                    "same ones, or another --output"
                ],
                "igrpo reproduce",
            )


def _settings(overrides: Sequence[str]) -> list[str]:
    kept = [text for text in overrides if not is_hydras(text) and not _of_the_machine(text)]
    return [text for text in kept if not text.startswith("tracking=")]  # where runs are logged does not change them


def _of_the_machine(text: str) -> bool:
    key = text.partition("=")[0]
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in _OF_THE_MACHINE)
