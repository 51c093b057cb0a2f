"""Differences of conditions in the course of a measure, averaged over training or at equal accuracy, paired by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Literal, NamedTuple

from igrpo.report.bands import SeedLine, accuracy_lines, lines_of, seed_interval, shared_range
from igrpo.report.conditions import RunGroup
from igrpo.report.dynamics_model import CourseDifference
from igrpo.report.measures import AT_EQUAL_ACCURACY, MEASURES


class _Place(NamedTuple):
    """What is compared where: the fields that identify a ``CourseDifference``."""

    task: str
    pair: tuple[str, str]
    measure: str
    axis: Literal["percent", "accuracy"]


def course_differences(task: str, first: RunGroup, second: RunGroup) -> Iterator[CourseDifference]:
    """Yield the differences in every measure that both conditions have at a common seed."""
    for name in MEASURES:
        place = _Place(task, (first.name, second.name), name, "percent")
        if (found := _difference(place, lines_of(first, name), lines_of(second, name))) is not None:
            yield found
        if name == AT_EQUAL_ACCURACY:
            lines = accuracy_lines(first, name), accuracy_lines(second, name)
            if (found := _difference(place._replace(axis="accuracy"), *lines)) is not None:
                yield found


def _difference(
    place: _Place, first: Mapping[int, SeedLine], second: Mapping[int, SeedLine]
) -> CourseDifference | None:
    """Compare two courses over the range that all seeds of both cover; None if there is none."""
    seeds = sorted(first.keys() & second.keys())
    sides = [[one[seed] for seed in seeds] for one in (first, second)]
    between = shared_range([line for side in sides for line in side])
    if between is None:
        return None
    means = [[line.mean(*between) for line in side] for side in sides]
    changes = [b - a for a, b in zip(*means, strict=True)]
    return CourseDifference(
        **place._asdict(),
        between=between,
        starts=(fmean(line.y[0] for line in sides[0]), fmean(line.y[0] for line in sides[1])),
        means=(fmean(means[0]), fmean(means[1])),
        difference=fmean(changes),
        interval=seed_interval(changes),
        seeds=len(seeds),
        points=min(len(line.x) for side in sides for line in side),
    )
