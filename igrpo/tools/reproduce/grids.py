"""Grids of a table as sweeps: their settings, their checked runs, and the runs of each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from igrpo.config import RunConfig
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.overrides import is_hydras
from igrpo.config.composing.planned import Cell, Sweep
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory
from igrpo.tools.reproduce.request import Request
from igrpo.tools.reproduce.tables import Grid, Row, Scale


@dataclass(frozen=True, slots=True)
class PlannedGrid:
    """Grid with the overrides of its sweep, its checked runs, and the sweep's directory."""

    grid: Grid
    overrides: tuple[str, ...]
    sweep: Sweep
    directory: SweepDirectory


def grid_overrides(scale: Scale, grid: Grid, given: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides of a grid's sweep; those that were ``given`` come last and win."""
    seeds = ",".join(map(str, scale.seeds))
    swept = [f"{key}={values}" for key, values in grid.sweep.items()]
    one = len(scale.seeds) == 1  # a sweep of one run is a sweep
    return (*grid.settings, *scale.settings, *swept, f"seed=choice({seeds})" if one else f"seed={seeds}", *given)


def plan_grids(request: Request, composer: Composer) -> list[PlannedGrid]:
    """Compose and check every run of a table.

    Raises:
        ConfigError: a setting does not fit.
    """
    found = []
    for grid in request.scale.grids:
        overrides = grid_overrides(request.scale, grid, request.settings)
        directory = SweepDirectory(request.output / "runs" / grid.name)
        found.append(PlannedGrid(grid, overrides, composer.check_sweep(overrides), directory))
    return found


def settings_of(overrides: Sequence[str]) -> dict[str, str]:
    """Return the settings of a run by name, as its overrides say."""
    parts = (text.lstrip("+").partition("=") for text in overrides if not is_hydras(text))
    return {key: value for key, _, value in parts}


def has(overrides: Sequence[str], row: Row) -> bool:
    """True if a run with these overrides is one of the row's."""
    values = settings_of(overrides)
    return all(values.get(key) == value for key, value in row.cell.items())


def row_cells(sweep: SweepDirectory, row: Row) -> list[CellRecord]:
    """Return the runs of a row in the order of their seeds; of a row that one seed tells about, the first of them."""
    cells = [cell for cell in sweep.read().cells if has(cell.overrides, row)] if sweep.exists else []
    cells.sort(key=seed_of)
    return cells[:1] if row.first_seed else cells


def planned_cells(planned: PlannedGrid, row: Row) -> list[Cell]:
    """Return the checked runs of a row, which may not have begun; see ``row_cells``."""
    cells = [cell for cell in planned.sweep.cells if has(cell.overrides, row)]
    return cells[:1] if row.first_seed else cells


def seed_of(cell: CellRecord) -> int:
    """Return the seed of a run."""
    return int(settings_of(cell.overrides)["seed"])


def first_configs(planned: PlannedGrid) -> Iterator[tuple[Row, RunConfig]]:
    """Yield the settings of the first run of every row that is trained."""
    for row in planned.grid.rows:
        configs = [cell.config for cell in planned.sweep.cells if has(cell.overrides, row)]
        if configs and not row.start:
            yield row, configs[0]


def eval_directory(output: Path, grid: Grid, cell: CellRecord, row: Row) -> Path:
    """Return the directory of the evaluation of a run for a row."""
    return output / "evals" / grid.name / f"{cell.folder}-{'start' if row.start else 'last'}"
