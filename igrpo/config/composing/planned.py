"""Data classes for composed and checked runs and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
class Sweep:
    """A checked sweep over ``keys``. ``name`` is the choice of ``sweep=``; ``options`` are those of the launcher.

    A search chooses values while it runs: it has no cells, and ``base`` is the configuration that its trials share.
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
    trials: int
    note: str | None = None

    @property
    def is_search(self) -> bool:
        """True if a sweeper chooses the values of ``trials`` runs while it runs."""
        return self.trials > 0

    @property
    def is_serial(self) -> bool:
        """True if the runs are sequential, in this process."""
        return is_serial(self.launcher)


#: Returns additional overrides for a cell, given its configuration.
Extras = Callable[[RunConfig], Sequence[str]]
