"""Data classes for composed and checked runs and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from igrpo.config import RunConfig
from igrpo.config.composing.launching import is_serial


@dataclass(frozen=True, slots=True)
class Run:
    """A checked run and its configured directory (``chosen``: set by the user, not the default)."""

    config: RunConfig
    directory: Path
    chosen: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """Run of a grid: the values of the swept settings, the overrides that compose it, and its configuration."""

    swept: dict[str, str]
    overrides: tuple[str, ...]
    config: RunConfig


@dataclass(frozen=True, slots=True)
class Search:
    """Search of ``trials`` runs, ``at_once`` of them per round, for the best values of the settings in ``space``.

    ``sampler`` is the configuration of optuna's sampler, and ``fixed`` has the override of every other setting by key.
    """

    trials: int
    at_once: int
    sampler: Mapping[str, Any]
    fixed: Mapping[str, str]
    space: Mapping[str, Override]

    def lines(self, picked: Mapping[str, str]) -> tuple[str, ...]:
        """Return the overrides of a trial with the values ``picked``."""
        return (*self.fixed.values(), *(f"{key}={value}" for key, value in picked.items()))


@dataclass(frozen=True, slots=True)
class Sweep:
    """A checked sweep over ``keys``. ``name`` is the choice of ``sweep=``; ``options`` are those of the launcher.

    A ``search`` picks values while it runs: it has no cells, and ``base`` is the configuration that its trials share.
    ``note`` lists the settings that were left out of cells in which they do not exist.
    """

    name: str
    keys: tuple[str, ...]
    cells: tuple[Cell, ...]
    base: RunConfig
    directory: Path
    chosen: bool
    launcher: str
    options: dict[str, Any]
    search: Search | None
    note: str | None = None

    @property
    def is_search(self) -> bool:
        """True if the values of the runs are picked while the sweep runs."""
        return self.search is not None

    @property
    def configs(self) -> list[RunConfig]:
        """The configuration of each run; for a search, the shared one for each trial."""
        return [cell.config for cell in self.cells] if self.search is None else [self.base] * self.search.trials

    @property
    def is_serial(self) -> bool:
        """True if the runs are sequential, in this process."""
        return is_serial(self.launcher)


#: Returns additional overrides for a cell, given its configuration.
Extras = Callable[[RunConfig], Sequence[str]]
