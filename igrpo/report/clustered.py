"""Mean of values of questions at seeds, not one for each pair of them, with an interval clustered by both."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from igrpo.report.dynamics_model import ClusteredMean
from igrpo.report.intervals import half_width

#: Spread below which values count as equal: rounding errors only.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Value:
    """A value of one question at one seed, such as a gain. Several values of the same pair are one cluster."""

    question: str
    seed: int
    value: float


def clustered_mean(
    values: Sequence[Value], level: float = 0.95, bounds: tuple[float, float] = (-1.0, 1.0)
) -> ClusteredMean | None:
    """Return the mean with an interval that holds for other questions and other seeds; None without values.

    With one seed there is no interval: one over questions alone would not hold for another seed. The interval is cut
    at ``bounds``, which no true mean can pass.

    The terms of its variance are those of the mean clustered by questions and by seeds, each with the factor
    G / (G - 1) of its G clusters and G - 1 degrees of freedom; `intervals.half_width` combines them. Two-way clustering
    (Cameron, Gelbach and Miller 2011) would subtract the variance by pairs, which both terms contain: leaving it in
    makes the interval a little wide, and never too narrow by chance.
    """
    if not values:
        return None
    mean = math.fsum(one.value for one in values) / len(values)
    questions, seeds = len({one.question for one in values}), len({one.seed for one in values})
    interval = None
    if min(questions, seeds) > 1 and max(one.value for one in values) - min(one.value for one in values) > _ROUNDING:
        by_question = _variance([one.question for one in values], values, mean)
        by_seed = _variance([one.seed for one in values], values, mean)
        half = float(half_width([(by_question, questions - 1.0), (by_seed, seeds - 1.0)], level))
        interval = (max(mean - half, bounds[0]), min(mean + half, bounds[1]))
    return ClusteredMean(mean=mean, interval=interval, values=len(values), questions=questions, seeds=seeds)


def _variance(clusters: Sequence[Hashable], values: Sequence[Value], mean: float) -> float:
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for cluster, one in zip(clusters, values, strict=True):
        sums[cluster] += one.value - mean
    correction = len(sums) / (len(sums) - 1)
    return correction * math.fsum(total**2 for total in sums.values()) / len(values) ** 2
