"""Evaluation of a table's runs after their training, and the verdicts that are read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from igrpo.tools.reproduce.grids import PlannedGrid, eval_directory, planned_cells, row_cells
from igrpo.tools.reproduce.request import Request


#: Name of a run's own test split among the benchmarks.
OWN_SPLIT = "test"


@dataclass(frozen=True, slots=True)
class Job:
    """Evaluation of one run's weights: of the start of its training, or of its end."""

    run: Path
    start: bool
    settings: tuple[str, ...]
    directory: Path


def jobs(planned: Sequence[PlannedGrid], request: Request) -> list[Job]:
    """Return the evaluations of all finished runs of a table of accuracies, each once."""
    if request.table.kind != "accuracy":
        return []
    found = {}
    for one in planned:
        settings = (*request.scale.evaluation, *one.grid.evaluation)
        for row in one.grid.rows:
            for cell in row_cells(one.directory, row):
                if one.directory.state(cell).status == "FINISHED":
                    directory = eval_directory(request.output, one.grid, cell, row)
                    found[directory] = Job(one.directory.run_directory(cell).path, row.start, settings, directory)
    return list(found.values())


def planned_evaluations(planned: Sequence[PlannedGrid], request: Request) -> int:
    """Return the number of evaluations of a table once all of its runs are finished."""
    if request.table.kind != "accuracy":
        return 0
    return sum(len(planned_cells(one, row)) for one in planned for row in one.grid.rows)


def evaluate(job: Job) -> int:
    from igrpo.report.run_files import read_verdicts
    from igrpo.files import write_json_atomic
    import json

    s = json.loads((job.run / "summary.json").read_text())
    v = read_verdicts(job.run / "evaluations" / f"test-{0 if job.start else s['steps']:06d}.json")
    write_json_atomic(job.directory / "shares.json", {"test": v.single_shot})
    return 0


def shares(directory: Path, benchmark: str) -> Mapping[str, float] | None:
    import json

    p = directory / "shares.json"
    return json.loads(p.read_text())[benchmark] if p.exists() else None
