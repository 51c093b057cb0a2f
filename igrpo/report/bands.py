"""Courses of measures against percent of training and against accuracy: means over seeds with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev

import numpy as np
from scipy import stats

from igrpo.report.conditions import RunGroup
from igrpo.report.curves import Course
from igrpo.report.dynamics_model import Band
from igrpo.report.measures import ACCURACY, MEASURES, Measure

#: Largest number of points of a course: steps are averaged in this many parts of equal length after the first step.
MOST_POINTS = 21

#: Points of a course against accuracy.
_ACCURACIES = 11

#: A course against accuracy needs so many evaluations of a run: it is read off straight lines between them.
FEWEST_EVALUATIONS = 4

#: A course against accuracy needs a range of this width that all seeds passed.
_NARROWEST = 0.01

#: Points of one seed by their place in the course: (x, y).
Line = Mapping[int, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class SeedLine:
    """Course of one seed: values ``y`` at ``x``, in percent of training or shares of right answers."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def at(self, points: Sequence[float]) -> list[float]:
        """Interpolate linearly."""
        return [float(y) for y in np.interp(points, self.x, self.y)]

    def mean(self, low: float, high: float) -> float:
        """Return the average over a range of x (trapezoidal rule on the line's own points)."""
        inside = [x for x in self.x if low < x < high]
        points = [low, *inside, high]
        return float(np.trapezoid(self.at(points), points)) / (high - low)


def seed_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Return Student's t interval of the mean over seeds; None with fewer than two seeds, or if all agree."""
    if len(values) < 2 or max(values) - min(values) <= 1e-12 * max(1.0, *map(abs, values)):
        return None
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def lines_of(group: RunGroup, name: str) -> dict[int, SeedLine]:
    """Return the course of a measure against percent of training by seed, without the seeds that have no two points."""
    found = {}
    for seed, run in group.runs.items():
        measure = MEASURES[name]
        points = _points(Course.of(seed, run.metrics), measure)
        line = SeedLine(*map(tuple, zip(*points, strict=True))) if points else SeedLine((), ())
        if len(line.x) > 1:
            found[seed] = line
    return found


def accuracy_lines(group: RunGroup, name: str) -> dict[int, SeedLine]:
    """Return the course of a held-out measure against the accuracy of the same evaluation by seed.

    The points are in the order of accuracy; the mean is taken of those with the same accuracy. Seeds with fewer than
    ``FEWEST_EVALUATIONS`` evaluations are left out.
    """
    found = {}
    for seed, run in group.runs.items():
        points = sorted(
            (values[ACCURACY], y)
            for values in Course.of(seed, run.metrics).at.values()
            if ACCURACY in values and (y := MEASURES[name].value(values)) is not None
        )
        merged = [(x, fmean(y for _, y in same)) for x, same in groupby(points, key=lambda point: point[0])]
        if len(points) >= FEWEST_EVALUATIONS and len(merged) > 1:
            found[seed] = SeedLine(*map(tuple, zip(*merged, strict=True)))
    return found


def shared_range(lines: Sequence[SeedLine]) -> tuple[float, float] | None:
    """Return the range of x that all lines cover; None if it is too narrow to compare anything."""
    if not lines:
        return None
    low, high = max(line.x[0] for line in lines), min(line.x[-1] for line in lines)
    return (low, high) if high - low >= _NARROWEST else None


def percent_band(task: str, group: RunGroup, name: str) -> Band | None:
    """Return the course of a measure against percent of training; None if no seed has it."""
    lines = lines_of(group, name)
    return band(task, group.name, name, "percent", {seed: _by_place(line, lines) for seed, line in lines.items()})


def accuracy_band(task: str, group: RunGroup, name: str) -> Band | None:
    """Return the course of a held-out measure against accuracy, over the accuracies that all seeds passed."""
    lines = accuracy_lines(group, name)
    between = shared_range(list(lines.values()))
    if between is None:
        return None
    grid = [float(x) for x in np.linspace(*between, _ACCURACIES)]
    points = {seed: dict(enumerate(zip(grid, line.at(grid), strict=True))) for seed, line in lines.items()}
    found = band(task, group.name, name, "accuracy", points)
    measured = tuple(point for line in lines.values() for point in zip(line.x, line.y, strict=True))
    return None if found is None else found.model_copy(update={"measured": measured})


def band(task: str, condition: str, name: str, axis: str, lines: Mapping[int, Line]) -> Band | None:
    """Return the mean over seeds with its interval at each place that at least half of the seeds have."""
    places = sorted({place for line in lines.values() for place in line})
    rows = [[line[place] for line in lines.values() if place in line] for place in places]
    rows = [row for row in rows if 2 * len(row) >= len(lines)]
    if not rows:
        return None
    means = [fmean(y for _, y in row) for row in rows]
    edges = [seed_interval([y for _, y in row]) or (mean, mean) for row, mean in zip(rows, means, strict=True)]
    return Band.model_validate(
        {
            "task": task,
            "condition": condition,
            "measure": name,
            "axis": axis,
            "seeds": len(lines),
            "x": tuple(fmean(x for x, _ in row) for row in rows),
            "mean": tuple(means),
            "low": tuple(low for low, _ in edges),
            "high": tuple(high for _, high in edges),
        }
    )


def percent(step: int, steps: int, *, held_out: bool) -> float:
    """Return how much of the training lay before a measurement of this step.

    An evaluation after step s follows s updates. The samples of step s are drawn before its update: those of the first
    step are at 0 %.
    """
    return 100 * (step if held_out else step - 1) / steps


def _points(course: Course, measure: Measure) -> list[tuple[float, float]]:
    steps = max((step for step, values in course.at.items() if "budget/samples" in values), default=0)
    values = {step: y for step, at in course.at.items() if step <= steps and (y := measure.value(at)) is not None}
    return [(percent(step, steps, held_out=measure.held_out), y) for step, y in values.items()]


def _by_place(line: SeedLine, lines: Mapping[int, SeedLine]) -> Line:
    """Return the points of a line by their place: as many for every seed, the first point by itself."""
    places = min(MOST_POINTS, *(len(one.x) for one in lines.values())) if len(lines) > 1 else MOST_POINTS
    places = min(places, len(line.x))
    members: dict[int, list[int]] = {}
    for i in range(len(line.x)):
        place = 0 if i == 0 else 1 + (i - 1) * (places - 1) // (len(line.x) - 1)
        members.setdefault(place, []).append(i)
    return {place: (fmean(line.x[i] for i in own), fmean(line.y[i] for i in own)) for place, own in members.items()}
