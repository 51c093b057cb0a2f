"""What was composed and checked, before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igrpo.config import RunConfig
from igrpo.config.composing.launching import is_serial


@dataclass(frozen=True, slots=True)
class Run:
    """A checked run and the directory that the settings ask for (``chosen``: by the user, not by the default)."""

    config: RunConfig
    directory: Path
    chosen: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a grid: what is swept and its value here, the overrides that compose it, and what they compose to."""

    swept: dict[str, str]
    overrides: tuple[str, ...]
    config: RunConfig


@dataclass(frozen=True, slots=True)
class Sweep:
    """A checked sweep over ``keys``. ``name`` is the choice of ``sweep=``; ``options`` are those of the launcher.

    A search picks its values as it goes: it has no cells, and ``base`` is the run that its trials have in common.
    ``note`` says which settings were left out of which cells because they do not exist there.
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
        """Whether a sweeper picks ``trials`` runs as it goes."""
        return self.trials > 0

    @property
    def is_serial(self) -> bool:
        """Whether the runs come one after the other, in this process."""
        return is_serial(self.launcher)


#: Overrides that a cell gets beside its own, by what it was composed to.
Extras = Callable[[RunConfig], Sequence[str]]
