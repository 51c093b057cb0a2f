"""Numbers of a table's rows, from the runs and evaluations that there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from igrpo.report.intervals import Array
from igrpo.runs.summary import Summary, read_summary
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory
from igrpo.tools.reproduce.average import Number, mean_accuracy, mean_over_seeds
from igrpo.tools.reproduce.evaluating import shares
from igrpo.tools.reproduce.grids import PlannedGrid, eval_directory, row_cells, seed_of
from igrpo.tools.reproduce.measures import cost, entropy_at
from igrpo.tools.reproduce.result import MeasuredRow, Spending, distinct
from igrpo.tools.reproduce.tables import AVERAGE, Grid, Kind, Row, Scale


@dataclass(frozen=True, slots=True)
class _Runs:
    """Finished runs of a row, in the order of their seeds."""

    grid: Grid
    row: Row
    sweep: SweepDirectory
    cells: tuple[CellRecord, ...]
    output: Path

    def paths(self) -> list[Path]:
        return [self.sweep.run_directory(cell).path for cell in self.cells]

    def evaluations(self) -> list[Path]:
        return [eval_directory(self.output, self.grid, cell, self.row) for cell in self.cells]


def measure(planned: Sequence[PlannedGrid], scale: Scale, kind: Kind, output: Path) -> list[MeasuredRow]:
    """Return every row of the grids, with the numbers of its finished runs."""
    return [_row(one, row, scale, kind, output) for one in planned for row in one.grid.rows]


def _row(planned: PlannedGrid, row: Row, scale: Scale, kind: Kind, output: Path) -> MeasuredRow:
    grid, sweep = planned.grid, planned.directory
    cells = row_cells(sweep, row)
    finished = tuple(cell for cell in cells if sweep.state(cell).status == "FINISHED")
    missing = [
        f"{grid.name}, {cell.name}: {sweep.state(cell).status.lower()}" for cell in cells if cell not in finished
    ]
    if not cells:
        missing = [f"{grid.name}: not run"]
    runs = _Runs(grid, row, sweep, finished, output)
    numbers, measured = _MEASURES[kind](runs, scale)
    missing += [f"{grid.name}, {cell.name}: not evaluated" for cell in finished if cell not in measured]
    return MeasuredRow(
        grid=grid.name,
        model=grid.label,
        method=row.method,
        numbers=numbers,
        seeds=tuple(map(seed_of, measured)),
        spending=None if row.start else _spending([read_summary(sweep.run_directory(c).summary) for c in measured]),
        missing=tuple(missing),
        note=row.note,
    )


#: Numbers by column, and the runs that they are of.
_Measured = tuple[Mapping[str, Number | None], Sequence[CellRecord]]


def _accuracies(runs: _Runs, scale: Scale) -> _Measured:
    found = [
        {title: shares(path, benchmark) for title, benchmark in scale.columns.items()} for path in runs.evaluations()
    ]
    complete = [i for i, one in enumerate(found) if all(values is not None for values in one.values())]
    by_title = {title: _matrix([found[i][title] for i in complete]) for title in scale.columns}
    numbers: dict[str, Number | None] = {
        title: None if matrix is None else mean_accuracy([matrix]) for title, matrix in by_title.items()
    }
    if scale.average:
        known = [matrix for matrix in by_title.values() if matrix is not None]
        numbers[AVERAGE] = mean_accuracy(known) if known else None
    return numbers, [runs.cells[i] for i in complete]


def _matrix(by_seed: Sequence[Mapping[str, float] | None]) -> Array | None:
    """Return the shares of right answers by seed and problem.

    Raises:
        ValueError: the seeds were asked other problems.
    """
    known = [one for one in by_seed if one is not None]
    if not known:
        return None
    problems = sorted(known[0])
    if any(sorted(one) != problems for one in known):
        raise ValueError("the seeds of a row were evaluated on different problems")
    return np.array([[one[problem] for problem in problems] for one in known], dtype=np.float64)


def _of_each(value: Callable[[Path, str], float | None]) -> Callable[[_Runs, Scale], _Measured]:
    def numbers(runs: _Runs, scale: Scale) -> _Measured:
        found = {title: [value(path, what) for path in runs.paths()] for title, what in scale.columns.items()}
        return {title: _mean(values) for title, values in found.items()}, runs.cells

    return numbers


def _mean(values: Sequence[float | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return mean_over_seeds(known) if known and len(known) == len(values) else None


_MEASURES: Mapping[Kind, Callable[[_Runs, Scale], _Measured]] = {
    "accuracy": _accuracies,
    "cost": _of_each(cost),
    "entropy": _of_each(entropy_at),
}


def _spending(summaries: Sequence[Summary]) -> Spending | None:
    if not summaries:
        return None
    return Spending(
        samples=fmean(one.samples for one in summaries),
        trained_tokens=fmean(one.tokens.trained for one in summaries),
        hardware=distinct([one.hardware for one in summaries]),
        commits=distinct([one.commit for one in summaries]),
        config_hashes=distinct([one.config_hash for one in summaries]),
    )
