"""Evaluation of a table's runs after their training, and the verdicts that are read back."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from igrpo.evaluation.store import read_samples
from igrpo.runs.claim import claim
from igrpo.runs.console import get_console
from igrpo.runs.evaluation_directory import EvaluationDirectory
from igrpo.runs.lifecycle import EXIT_FAILED, RunError
from igrpo.tools.evaluating.execution import execute
from igrpo.tools.evaluating.request import new_request, resumed_request
from igrpo.tools.reproduce.grids import PlannedGrid, eval_directory, planned_cells, row_cells
from igrpo.tools.reproduce.request import Request

#: Name of a run's own test split among the benchmarks.
OWN_SPLIT = "test"

_KIND = "single_shot"


@dataclass(frozen=True, slots=True)
class Job:
    """Evaluation of a run's weights, those it started from or its last ones, in a directory of its own."""

    name: str
    run: Path
    checkpoint: str
    settings: tuple[str, ...]
    directory: EvaluationDirectory


def evaluations(planned: Sequence[PlannedGrid], request: Request) -> list[Job]:
    """Return the evaluations of all finished runs of a table of accuracies, each once."""
    found = {}
    for one in planned if request.table.kind == "accuracy" else ():
        settings = (*request.scale.evaluation, *one.grid.evaluation, *_of_benchmarks(request))
        for row in one.grid.rows:
            for cell in row_cells(one.directory, row):
                if one.directory.state(cell).status == "FINISHED":
                    path = eval_directory(request.output, one.grid, cell, row)
                    run, checkpoint = one.directory.run_directory(cell).path, "start" if row.start else "last"
                    name = f"{one.grid.name}, {cell.name}{', before training' if row.start else ''}"
                    found[path] = Job(name, run, checkpoint, settings, EvaluationDirectory(path))
    return list(found.values())


def planned_evaluations(planned: Sequence[PlannedGrid], request: Request) -> int:
    """Return the number of evaluations of a table once all of its runs are finished."""
    if request.table.kind != "accuracy":
        return 0
    return sum(len(planned_cells(one, row)) for one in planned for row in one.grid.rows)


def evaluate_all(planned: Sequence[PlannedGrid], request: Request) -> list[int]:
    """Make the evaluations that are not complete, and return the exit code of each."""
    jobs = evaluations(planned, request)
    left = [job for job in jobs if not is_complete(job.directory)]
    if jobs:
        print(f"{len(jobs) - len(left)} of {len(jobs)} evaluations are complete already")
    codes = []
    for number, job in enumerate(left, 1):
        get_console().rule(f"evaluation {number} of {len(left)}: {job.name}", align="left")
        codes.append(_evaluate(job))
    return codes


def is_complete(directory: EvaluationDirectory) -> bool:
    """True if an evaluation has measured all of its benchmarks."""
    return directory.exists and directory.read_results().complete


def shares(path: Path, benchmark: str) -> Mapping[str, float] | None:
    """Return the share of right samples (0 to 1) by question of a benchmark; None if the evaluation is not complete."""
    directory = EvaluationDirectory(path)
    if not is_complete(directory):
        return None
    verdicts: defaultdict[str, list[bool]] = defaultdict(list)
    for sample in read_samples(directory.samples(benchmark)):
        if sample.kind == _KIND:
            verdicts[sample.question].append(sample.correct)
    return {question: fmean(correct) for question, correct in verdicts.items()}


def _evaluate(job: Job) -> int:
    """Evaluate, or continue an evaluation. A failure is printed, and does not stop the others."""
    try:
        if job.directory.exists:
            execute(resumed_request(job.directory, ()), job.directory)
        else:
            request = new_request(str(job.run), job.settings, job.checkpoint, None)
            claim(job.directory.path, chosen=True, setting="--output")
            execute(request, job.directory)
    except RunError as error:
        return error.code
    except ValueError as error:
        print(f"igrpo: {job.name} cannot be evaluated: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _of_benchmarks(request: Request) -> tuple[str, ...]:
    """Return the given settings that an evaluation on benchmarks needs again, since it has settings of its own."""
    if not request.scale.evaluation:
        return ()
    return tuple(text for text in request.settings if text.lstrip("+").startswith("evaluation."))
