"""Training curves: a metric against a budget or against another metric, per seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.conditions import RunGroup
from igrpo.report.figure_families import FAMILIES
from igrpo.report.measures import SCORE, metrics_read
from igrpo.report.model import Curve, SeedCurve, Spent
from igrpo.report.runs import LoadedRun

#: (metric, axis) of every curve.
CURVES: tuple[tuple[str, str], ...] = tuple(
    dict.fromkeys(
        (metric, axis) for family in FAMILIES for metric, _ in family.panels for axis in family.axes if metric != axis
    )
)

_PHASE = "seconds/"
_NOT_TRAINING = frozenset({"seconds/evaluation", "seconds/checkpoint"})


def is_read(metric: str) -> bool:
    """True if curves or budgets are computed from this metric."""
    read = {name for pair in CURVES for name in pair} | metrics_read()
    return metric in read or metric.startswith(("budget/", _PHASE)) or metric.endswith(SCORE)


def seconds_of_training(line: Mapping[str, Any]) -> float:
    """Return the wall time of the training phases, without evaluation and checkpoints."""
    return math.fsum(value for name, value in line.items() if name.startswith(_PHASE) and name not in _NOT_TRAINING)


@dataclass(frozen=True, slots=True)
class Course:
    """Metrics of a run by step. The lines of one step are merged; non-finite values are left out."""

    seed: int
    at: Mapping[int, Mapping[str, float]]

    @classmethod
    def of(cls, seed: int, lines: Sequence[Mapping[str, Any]]) -> Course:
        at: dict[int, dict[str, float]] = {}
        for line in lines:
            values = {name: v for name, v in line.items() if name not in {"step", "time"} and math.isfinite(v)}
            at.setdefault(line["step"], {}).update(values)
        return cls(seed, dict(sorted(at.items())))

    def along(self, axis: str) -> dict[int, float]:
        """Return the values of an axis by step.

        On a budget axis an evaluation has the value of the training step before it, and 0 before the first step.
        """
        if axis not in BUDGET_AXES:
            return {step: values[axis] for step, values in self.at.items() if axis in values}
        x = {step: found for step, values in self.at.items() if (found := _spent(axis, step, values)) is not None}
        return {0: 0.0, **x} if 0 in self.at and x else x


def _spent(axis: str, step: int, values: Mapping[str, float]) -> float | None:
    if axis == "steps":
        return float(step)
    if axis == "seconds":
        return seconds_of_training(values) if "budget/samples" in values else None
    counter = BUDGET_AXES[axis].counter
    assert counter is not None
    return values.get(counter)


def curves_of(group: RunGroup) -> Iterator[Curve]:
    """Yield every curve of ``CURVES`` for which the condition's runs have points."""
    courses = [Course.of(seed, run.metrics) for seed, run in group.runs.items()]
    for metric, axis in CURVES:
        curve = _curve(group.name, courses, metric, axis)
        if curve is not None:
            yield curve


def _curve(condition: str, courses: Sequence[Course], metric: str, axis: str) -> Curve | None:
    """Build one curve; None if it has no points, or if one of the runs did not record the axis."""
    along = [course.along(axis) for course in courses]
    values = [{step: at[metric] for step, at in course.at.items() if metric in at} for course in courses]
    points = [[step for step in y if step in x] for x, y in zip(along, values, strict=True)]
    if not all(along) or not any(points):
        return None
    lines = tuple(
        SeedCurve(seed=course.seed, x=tuple(x[step] for step in steps), y=tuple(y[step] for step in steps))
        for course, x, y, steps in zip(courses, along, values, points, strict=True)
        if steps
    )
    # The share of a rare event is missing at some steps of some seeds: the mean needs values of half of the seeds.
    having = {step: [y[step] for y, own in zip(values, points, strict=True) if step in own] for step in _union(points)}
    steps = [step for step, y in having.items() if 2 * len(y) >= len(courses)]
    return Curve(
        condition=condition,
        metric=metric,
        axis=axis,
        lines=lines,
        x=tuple(fmean(x[step] for x in along if step in x) for step in steps),
        mean=tuple(fmean(having[step]) for step in steps),
        low=tuple(min(having[step]) for step in steps),
        high=tuple(max(having[step]) for step in steps),
    )


def _union(points: Sequence[Sequence[int]]) -> list[int]:
    return sorted({step for steps in points for step in steps})


def spent(group: RunGroup) -> Spent:
    """Return the budgets that the condition's runs spent in total, as means over seeds."""
    runs = list(group.runs.values())
    last = [_last_counters(run) for run in runs]
    phases = sorted({phase for run in runs if run.summary for phase in run.summary.seconds})
    flops = [line.get("budget/flops") for line in last]

    counters = ("samples", "generated_tokens", "prefilled_tokens", "trained_tokens")
    return Spent(
        **{name: fmean(line[f"budget/{name}"] for line in last) for name in counters},
        steps=fmean(line["step"] for line in last),
        flops=fmean(known) if len(known := [value for value in flops if value is not None]) == len(flops) else None,
        seconds=fmean(map(seconds_of_training, last)),
        seconds_by_phase={p: fmean(r.summary.seconds.get(p, 0.0) for r in runs if r.summary) for p in phases},
    )


def _last_counters(run: LoadedRun) -> Mapping[str, Any]:
    return next(line for line in reversed(run.metrics) if "budget/samples" in line)
