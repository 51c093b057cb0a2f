"""Synthetic learning dynamics and aggregates for the reports of `report_cases`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from igrpo.report.across_model import Across, Improvement, MethodScores
from igrpo.report.dynamics_model import (
    AllWrong,
    Band,
    ClusteredMean,
    CourseDifference,
    Dynamics,
    GainBin,
    GainDifference,
    Gains,
    Readings,
)
from igrpo.report.measures import COUNTED, MEASURES

TASK = "chains"
_BINS = ("0", "1/2", "1")
_PERCENT = tuple(5.0 * i for i in range(21))


def dynamics(names: Sequence[str], seeds: int) -> Dynamics:
    """Make the part for conditions of one task; the first is the baseline and has no refinements."""
    everything = [*MEASURES, *COUNTED]
    bands = [
        band(name, i, measure, seeds)
        for i, name in enumerate(names)
        for measure in everything
        if i or "refine" not in measure
    ]
    bands += [band(name, i, "entropy/bare", seeds, accuracy=True) for i, name in enumerate(names)]
    return Dynamics(
        bands=tuple(bands),
        differences=tuple(difference(names[0], name, seeds) for name in names[1:]),
        gains=tuple(gains(name, i, seeds) for i, name in enumerate(names)),
        gain_differences=tuple(
            GainDifference(task=TASK, pair=(names[0], name), bins={one: mean(-0.1, seeds) for one in _BINS})
            for name in names[1:]
        ),
        all_wrong=tuple(all_wrong(name, i, seeds) for i, name in enumerate(names)),
        readings=Readings(entropy=(f"The entropy of {names[-1]} falls.",), difficulty=("One.", "Two.")),
        missing=("Something is missing.",),
    )


def band(condition: str, number: int, measure: str, seeds: int, *, accuracy: bool = False) -> Band:
    x = tuple(0.4 + 0.02 * i for i in range(11)) if accuracy else _PERCENT
    y = tuple(0.2 * math.exp(-0.05 * i) + 0.01 * number for i in range(len(x)))
    wide = 0.02 if seeds > 1 else 0.0
    return Band(
        task=TASK,
        condition=condition,
        measure=measure,
        axis="accuracy" if accuracy else "percent",
        seeds=seeds,
        x=x,
        mean=y,
        low=tuple(value - wide for value in y),
        high=tuple(value + wide for value in y),
        measured=((x[0], y[0]), (x[3], y[3]), (x[6], y[6]), (x[-1], y[-1])) if accuracy else (),
    )


def difference(first: str, second: str, seeds: int) -> CourseDifference:
    return CourseDifference(
        task=TASK,
        pair=(first, second),
        measure="entropy/bare",
        axis="percent",
        between=(0.0, 100.0),
        starts=(0.2, 0.2),
        means=(0.123, 0.145),
        difference=0.022,
        interval=(-0.011, 0.055) if seeds > 1 else None,
        seeds=seeds,
        points=5,
    )


def mean(value: float, seeds: int) -> ClusteredMean:
    interval = (value - 0.05, value + 0.05) if seeds > 1 else None
    return ClusteredMean(mean=value, interval=interval, values=1234, questions=617, seeds=seeds)


def gains(condition: str, number: int, seeds: int) -> Gains:
    bins = (
        GainBin(name=name, start=0.2 + 0.3 * i, end=0.6 + 0.2 * i, gain=mean(0.4 - 0.1 * i - 0.01 * number, seeds))
        for i, name in enumerate(_BINS)
    )
    return Gains(task=TASK, condition=condition, split="test", samples=4, chosen_by="halves", bins=tuple(bins))


def all_wrong(condition: str, number: int, seeds: int) -> AllWrong:
    return AllWrong(
        task=TASK,
        condition=condition,
        answers=4,
        visits=960,
        share=0.08 + 0.01 * number,
        own_answers=4 if number else 8,
        own_share=0.03,
        refined=mean(0.49, seeds) if number else None,
        started=59,
        again=50,
        chance=mean(0.21, seeds),
        later=mean(0.69, seeds),
    )


def across(names: Sequence[str]) -> Across:
    """Make aggregates over two tasks."""
    thresholds = tuple(i / 10 for i in range(11))
    profile = tuple(1 - i / 10 for i in range(11))
    methods = (
        MethodScores(
            method=name,
            scores={"chains": (0.81, 0.84), "times_tables": (0.62 - 0.01 * i, 0.6)},
            mean=0.72,
            iqm=0.715,
            interval=(0.7, 0.73),
            profile=profile,
            profile_low=tuple(max(0.0, y - 0.1) for y in profile),
            profile_high=tuple(min(1.0, y + 0.1) for y in profile),
        )
        for i, name in enumerate(names)
    )
    return Across(
        tasks=("chains", "times_tables"),
        seeds=2,
        resamples=2000,
        thresholds=thresholds,
        methods=tuple(methods),
        improvements=tuple(
            Improvement(pair=(names[0], name), probability=0.625, interval=(0.25, 0.875)) for name in names[1:]
        ),
        left_out=(f"{names[-1]} has more seeds.",),
        readings=("A run of one beats a run of the other.",),
    )
