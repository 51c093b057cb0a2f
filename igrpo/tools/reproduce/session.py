"""A table from its grids to its files: run what is missing, evaluate it, then write and print the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from igrpo.config.composing.composer import Composer
from igrpo.console import waiting
from igrpo.messages import count
from igrpo.runs.command import as_part
from igrpo.runs.console import get_console
from igrpo.sweeps.plan import plan_of, print_plan
from igrpo.tools.reproduce.evaluating import evaluate_all, planned_evaluations
from igrpo.tools.reproduce.grids import PlannedGrid, plan_grids
from igrpo.tools.reproduce.needs import lacking, needs_of, print_needs
from igrpo.tools.reproduce.request import Request
from igrpo.tools.reproduce.sweeping import check_same, run_grid
from igrpo.tools.reproduce.writing import write_table

#: Exit code if this machine lacks what the runs need.
EXIT_LACKING = 69


def reproduce(request: Request, command: str, *, plan: bool) -> int:
    """Make a table and return the exit code: 0, 69 if this machine lacks something, else that of what failed.

    Args:
        request: what is asked for.
        command: the command as it was given, which also continues after a stop.
        plan: True to print the runs and what they need, and to run nothing.

    Raises:
        ConfigError: the settings are invalid; nothing was started.
        KeyboardInterrupt, SystemExit: it was stopped; the same command continues.
    """
    with waiting("checking the settings of every run"), Composer("train") as composer:
        planned = plan_grids(request, composer)
    check_same(planned)
    _announce(request)
    if plan:
        return _print_plans(planned, request)
    if _lacks(planned, request):
        return EXIT_LACKING
    with _continued_by(command):
        codes = [run_grid(one) for one in planned]
        codes += evaluate_all(planned, request)
    result = write_table(request, planned, command)
    failed = [code for code in codes if code]
    if failed or result.missing:
        print(f"igrpo: the table is not complete; the same command continues: {command}", file=sys.stderr)
    return failed[0] if failed else 0


def _announce(request: Request) -> None:
    print(request.table.title)
    if request.quick:
        labels = ", ".join(dict.fromkeys(grid.label for grid in request.scale.grids))
        print(f"quick: the same pipeline on a small model and task ({labels}); not comparable with the paper's numbers")


def _print_plans(planned: Sequence[PlannedGrid], request: Request) -> int:
    for one in planned:
        print(f"\ngrid {one.grid.name}, in {one.directory.path}")
        print_plan(plan_of(one.sweep), one.sweep.cells, one.sweep.note, brief=True)
    evaluations = planned_evaluations(planned, request)
    print(f"\nthen {count(evaluations, 'evaluation')}, of {', '.join(request.scale.columns)}" if evaluations else "")
    needs = [needs_of(one) for one in planned]
    print_needs(needs, get_console())
    for text in lacking(needs):
        print(f"missing here: {text}")
    return 0


def _lacks(planned: Sequence[PlannedGrid], request: Request) -> bool:
    """Print what this machine lacks, with all that the runs need, and return True if it lacks anything."""
    with waiting("estimating what the runs need"):
        needs = [needs_of(one) for one in planned]
    lacks = lacking(needs)
    if lacks:
        print_needs(needs, get_console())
        for text in lacks:
            print(f"igrpo: missing here: {text}", file=sys.stderr)
        quick = f"; igrpo reproduce table={request.name} quick=true runs on a CPU" if request.table.quick else ""
        print(f"igrpo: nothing was run{'' if request.quick else quick}", file=sys.stderr)
    return bool(lacks)


@contextmanager
def _continued_by(command: str) -> Iterator[None]:
    try:
        with as_part():
            yield
    except (KeyboardInterrupt, SystemExit):
        print(f"igrpo: stopped; nothing is lost, and the same command continues: {command}", file=sys.stderr)
        raise
