"""What became of training questions whose first answers were all wrong, counted from the rollouts.

First answers are the answers (GRPO) or drafts (iGRPO) to the bare question. Conditions are compared by the same number
of them, the fewest of any condition, since more answers are seldom all wrong.

That such a question has right answers later is no proof of learning: some would have had one more wrong answer than
right ones by chance. ``chance`` measures this at the first visit itself: each answer in turn is held out, and counts if
all the others were wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from igrpo.report.bands import Line, band, percent
from igrpo.report.clustered import Value, clustered_mean
from igrpo.report.conditions import RunGroup
from igrpo.report.dynamics_model import AllWrong, Band, ClusteredMean
from igrpo.report.labels import listed
from igrpo.report.tasks import Task
from igrpo.report.visits import Visit, by_question, visits_of

#: Parts of training in which shares are counted.
PARTS = 10

#: "All wrong" says little about fewer answers.
_FEWEST = 2

#: Visits by seed.
Visits = Mapping[int, Sequence[Visit]]


def task_visits(task: Task) -> tuple[dict[str, Visits], tuple[str, ...]]:
    """Return the visits of each condition of a task, and sentences on those that cannot be counted."""
    found: dict[str, Visits] = {}
    without: dict[str, list[str]] = {}
    for group in task.groups:
        try:
            visits = {seed: visits_of(run) for seed, run in group.runs.items()}
        except ValueError as error:
            without.setdefault(str(error), []).append(group.name)
            continue
        if min(len(visit.first) for own in visits.values() for visit in own) >= _FEWEST:
            found[group.name] = visits
        else:
            without.setdefault("some questions have a single first answer", []).append(group.name)
    return found, tuple(
        f"Questions that were all wrong are not counted for {listed(names)}: {reason}."
        for reason, names in without.items()
    )


def all_wrong(task: Task, visits: Mapping[str, Visits]) -> Iterator[AllWrong]:
    """Yield the numbers of each condition of a task that has visits."""
    if visits:
        answers = min(len(visit.first) for by_seed in visits.values() for own in by_seed.values() for visit in own)
        for group in task.groups:
            if group.name in visits:
                yield _of_condition(task.name, group, visits[group.name], answers)


def all_wrong_bands(task: Task, visits: Mapping[str, Visits], answers: int) -> Iterator[Band]:
    """Yield the share of such questions over training, and that of right refinements where all drafts were wrong."""
    for group in task.groups:
        lines: dict[str, dict[int, Line]] = {"all-wrong/share": {}, "all-wrong/refined": {}}
        for seed, own in visits.get(group.name, {}).items():
            steps = group.runs[seed].steps
            failed = [(visit.step, float(not any(visit.first[:answers]))) for visit in own]
            refined = [(visit.step, fmean(visit.refined)) for visit in own if visit.refined and not any(visit.first)]
            for name, points in zip(lines, (failed, refined), strict=True):
                if points:
                    lines[name][seed] = _by_part(points, steps)
        for name, by_seed in lines.items():
            if (found := band(task.name, group.name, name, "percent", by_seed)) is not None:
                yield found


def _by_part(points: Sequence[tuple[int, float]], steps: int) -> Line:
    parts = min(PARTS, steps)
    rows: dict[int, list[tuple[float, float]]] = {}
    for step, value in points:
        rows.setdefault((step - 1) * parts // steps, []).append((percent(step, steps, held_out=False), value))
    return {part: (100 * (part + 0.5) / parts, fmean(y for _, y in row)) for part, row in sorted(rows.items())}


def _of_condition(task: str, group: RunGroup, visits: Visits, answers: int) -> AllWrong:
    every = [(seed, visit) for seed, own in visits.items() for visit in own]
    refined = [
        Value(visit.question, seed, float(right))
        for seed, visit in every
        if not any(visit.first)
        for right in visit.refined
    ]
    courses = [(seed, course) for seed, own in visits.items() for course in by_question(own).values()]
    started = [(seed, course) for seed, course in courses if not any(course[0].first[:answers])]
    again = [(seed, course) for seed, course in courses if len(course) > 1]
    return AllWrong(
        task=task,
        condition=group.name,
        answers=answers,
        visits=len(every),
        share=fmean(not any(visit.first[:answers]) for _, visit in every),
        own_answers=max(len(visit.first) for _, visit in every),
        own_share=fmean(not any(visit.first) for _, visit in every),
        refined=_mean(refined),
        started=len(started),
        again=sum(len(course) > 1 for _, course in started),
        chance=_mean(list(_held_out(again, answers))),
        later=_mean(
            [
                Value(course[0].question, seed, float(right))
                for seed, course in started
                if len(course) > 1
                for right in course[-1].first
            ]
        ),
    )


def _held_out(courses: Sequence[tuple[int, Sequence[Visit]]], answers: int) -> Iterator[Value]:
    """Yield each answer of the first visits of which the others are all wrong."""
    for seed, course in courses:
        first = course[0].first[:answers]
        for i, right in enumerate(first):
            if not any(first[:i] + first[i + 1 :]):
                yield Value(course[0].question, seed, float(right))


def _mean(values: Sequence[Value]) -> ClusteredMean | None:
    return clustered_mean(values, bounds=(0.0, 1.0))
