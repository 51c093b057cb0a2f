"""Build a report from runs: the results of each condition and the differences between conditions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

from igrpo.console import waiting
from igrpo.messages import count
from igrpo.report.across_tasks import across
from igrpo.report.changes import changes_of
from igrpo.report.conditions import RunGroup, group_runs
from igrpo.report.curves import curves_of, spent
from igrpo.report.dynamics import dynamics_of
from igrpo.report.estimates import comparisons, final
from igrpo.report.examples import examples_of
from igrpo.report.labels import listed
from igrpo.report.model import EFFECT, METRICS, Comparison, Condition, Report
from igrpo.report.notes import notes
from igrpo.report.origins import check_origins
from igrpo.report.pairing import choose_baseline, every_pair, families, pairs_within_tasks, substitute_note
from igrpo.report.runs import LoadedRun
from igrpo.report.setup import setup_rows
from igrpo.report.sources import mlflow_links, sweep_title
from igrpo.report.tasks import Task, tasks_of, within_tasks
from igrpo.runs.fingerprints import Part

Pairs = Literal["baseline", "all"]


@waiting("comparing the runs")
def build_report(
    runs: Sequence[LoadedRun],
    *,
    title: str | None,
    sources: Sequence[str],
    baseline: str | None = None,
    pairs: Pairs = "baseline",
    allow_different: Collection[Part] = (),
    effect: float = EFFECT,
    planned: bool = False,
) -> Report:
    """Compare the conditions of the runs.

    Args:
        title: title of the report. None: the question of the runs' sweep, else the names of the conditions.
        sources: the places that were searched for runs, as the user named them.
        baseline: name of the condition that the others are compared with. None: GRPO on the whole budget, else the
            first condition.
        pairs: ``baseline`` compares every other condition with the baseline. If no baseline is named, a condition is
            compared with its own baseline where it has one: GRPO on the whole budget with the same settings outside
            the algorithm (such as ``completions_per_question``). ``all`` compares every pair of conditions. Conditions
            of different tasks (see `tasks_of`) are compared only if every task has one condition.
        allow_different: parts in which the runs may differ in addition to what is compared (see `check_origins`).
        effect: difference in accuracy, as a share, for which every comparison says how many seeds would show it.
        planned: name conditions as if every run could be used (see `group_runs`).

    Raises:
        ValueError: no run can be used, no condition has the baseline's name, the runs differ in a part that is not
            compared, or too little was tested.
    """
    grouping = group_runs(runs, planned=planned)
    groups = grouping.groups
    if not groups:
        reasons = [f"{entry.name} ({entry.excluded})" for entry in grouping.entries]
        raise ValueError(f"none of {count(len(reasons), 'run')} can be used: {'; '.join(reasons)}")
    base, tasks = choose_baseline(groups, baseline), tasks_of(groups)
    used = [run for group in groups for run in group.runs.values()]
    budgets = {group.name: spent(group) for group in groups}
    if pairs == "all":
        two = every_pair(tasks)
    elif baseline is not None:  # a named baseline is compared with every other condition
        two = [(base, group) for group in groups if group is not base]
    else:
        two = pairs_within_tasks(tasks, base)
    two, origins = check_origins(groups, two, allow_different)
    changes = tuple(one for metric in METRICS for pair in two if (one := changes_of(*pair, metric)) is not None)
    compared = tuple(one for metric in METRICS for one in comparisons(two, metric, budgets, effect))
    finals = tuple(found for metric in METRICS for group in groups if (found := final(group, metric)) is not None)
    if not finals:
        raise ValueError(
            "one problem at one seed is all that was tested: an interval needs more problems or more seeds"
        )
    return Report(
        title=title or sweep_title(runs) or _title(families(tasks), base),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        igrpo_version=version("igrpo"),
        sources=tuple(sources),
        runs=grouping.entries,
        conditions=tuple(
            Condition(name=group.name, settings=group.settings, seeds=tuple(group.runs), spent=budgets[group.name])
            for group in groups
        ),
        baseline=base.name,
        finals=finals,
        comparisons=compared,
        curves=tuple(curve for group in groups for curve in curves_of(group)),
        notes=(
            *origins,
            *_tasks_apart(tasks, two),
            *_not_compared(two, compared),
            *_substitute(groups, base, baseline, pairs),
            *notes(grouping, compared, families(tasks)),
        ),
        effect=effect,
        setup=setup_rows(groups),
        links=mlflow_links(used),
        examples=tuple(example for group in groups for example in examples_of(group)),
        changes=changes,
        dynamics=dynamics_of(tasks, two),
        across=across(tasks, two),
    )


def _title(compared: Sequence[Sequence[RunGroup]], base: RunGroup) -> str:
    groups = [group for family in compared for group in family]
    others = [group.name for group in groups if group is not base]
    if len(compared) > 1:
        return f"{len(groups)} conditions on {len(compared)} tasks"
    if not others:
        return base.name
    return f"{listed(others) if len(others) < 4 else f'{len(others)} conditions'} against {base.name}"


def _substitute(groups: Sequence[RunGroup], base: RunGroup, asked: str | None, pairs: Pairs) -> Iterator[str]:
    if asked is None and pairs == "baseline" and (note := substitute_note(groups, base)) is not None:
        yield note


def _tasks_apart(tasks: Sequence[Task], pairs: Sequence[tuple[RunGroup, RunGroup]]) -> Iterator[str]:
    if len(tasks) > 1 and len(within_tasks(tasks, pairs)) == len(pairs):
        yield f"Conditions are compared on the same task only; the tasks are {listed([task.name for task in tasks])}."


def _not_compared(pairs: Sequence[tuple[RunGroup, RunGroup]], compared: Sequence[Comparison]) -> Iterator[str]:
    done = {comparison.pair for comparison in compared}
    for first, second in pairs:
        if (first.name, second.name) not in done:
            common = first.runs.keys() & second.runs.keys()
            what = "too few problems" if common else "no seed"
            yield f"{second.name} and {first.name} have {what} in common: they are not compared."
