"""The part 'Learning dynamics' of a report, from the runs of its conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from igrpo.report.all_wrong import all_wrong, all_wrong_bands, task_visits
from igrpo.report.bands import accuracy_band, percent_band
from igrpo.report.conditions import RunGroup
from igrpo.report.course_differences import course_differences
from igrpo.report.difficulty import gain_differences, gains
from igrpo.report.dynamics_model import AllWrong, Band, Dynamics
from igrpo.report.dynamics_words import readings
from igrpo.report.labels import listed
from igrpo.report.measures import AT_EQUAL_ACCURACY, MEASURES
from igrpo.report.tasks import Task, within_tasks


def dynamics_of(tasks: Sequence[Task], pairs: Sequence[tuple[RunGroup, RunGroup]]) -> Dynamics:
    """Build the part. ``pairs`` are the compared conditions; those of different tasks are left out."""
    compared = within_tasks(tasks, pairs)
    counted: list[AllWrong] = []
    bands = [band for task in tasks for group in task.groups for band in _bands(task.name, group)]
    missing: list[str] = []
    for task in tasks:
        visits, left_out = task_visits(task)
        missing += left_out
        numbers = list(all_wrong(task, visits))
        counted += numbers
        if numbers:
            bands += all_wrong_bands(task, visits, numbers[0].answers)
    of_gains = [found for task in tasks for group in task.groups if (found := gains(task.name, group)) is not None]
    without = [
        group.name for task in tasks for group in task.groups if group.name not in {one.condition for one in of_gains}
    ]
    if without:
        missing.append(
            f"Gains by difficulty of {listed(without)} are not measured: they need an evaluation before training with "
            "two samples per question (evaluation.samples), or one sample and seeds that start from different weights."
        )
    whole = Dynamics(
        bands=tuple(bands),
        differences=tuple(one for pair in compared for one in course_differences(*pair)),
        gains=tuple(of_gains),
        gain_differences=tuple(one for pair in compared if (one := gain_differences(*pair)) is not None),
        all_wrong=tuple(counted),
        missing=tuple(missing),
    )
    return whole.model_copy(update={"readings": readings(whole)})


def _bands(task: str, group: RunGroup) -> Iterator[Band]:
    found = [percent_band(task, group, name) for name in MEASURES]
    found.append(accuracy_band(task, group, AT_EQUAL_ACCURACY))
    yield from (band for band in found if band is not None)
