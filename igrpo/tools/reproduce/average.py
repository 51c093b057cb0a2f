"""Intervals of a row's numbers over its seeds: of one benchmark, of the mean of several, and of other measures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from igrpo.report.intervals import RESIDUAL_FLOOR, Array, Term, crossed_estimate, half_width, mean_squares

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Number:
    """Mean over seeds with its 95 % interval (None: one seed, and nothing else that an interval could come from)."""

    mean: float
    low: float | None
    high: float | None


def mean_accuracy(shares_BSQ: Sequence[Array]) -> Number:
    """Return the mean over benchmarks of the accuracy, with an interval over seeds and problems.

    The mean gives every benchmark the same weight, as the paper's averages do. Its variance has one term for the seeds,
    from the spread of their averages, which includes what their runs have in common on all benchmarks, and one term per
    benchmark for its problems, as in `igrpo.report.intervals.crossed_terms`; with one benchmark it is that interval.

    Args:
        shares_BSQ: for each benchmark, the share of right answers (0 to 1) by seed and problem; the seeds are those of
            all benchmarks, the problems its own.

    Raises:
        ValueError: a single value, or another number of seeds on some benchmark.
    """
    if len({len(shares) for shares in shares_BSQ}) != 1:
        raise ValueError("every benchmark needs the same seeds")
    single = [crossed_estimate(shares, LEVEL) for shares in shares_BSQ]
    mean = sum(one.mean for one in single) / len(single)
    if len(single) == 1:
        return _clipped(single[0].mean, float(half_width(single[0].terms, LEVEL)))
    return _clipped(mean, float(half_width(list(_terms(shares_BSQ)), LEVEL)))


def _terms(shares_BSQ: Sequence[Array]) -> Iterator[Term]:
    """Yield the terms of the variance of the mean over benchmarks."""
    weight = 1 / len(shares_BSQ) ** 2
    seeds = len(shares_BSQ[0])
    floor = 0.0
    for shares in shares_BSQ:
        if seeds == 1 or np.ptp(shares) <= 1e-12:
            yield from ((weight * variance, df) for variance, df in crossed_estimate(shares, LEVEL).terms)
            continue
        problems = shares.shape[1]
        _, of_problems, residual = (float(square) for square in mean_squares(shares))
        floor += weight * RESIDUAL_FLOOR * residual / shares.size
        yield weight * max(of_problems - residual, 0.0) / shares.size, problems - 1.0
    if seeds > 1:
        by_seed = np.mean([shares.mean(axis=1) for shares in shares_BSQ], axis=0)
        yield max(float(by_seed.var(ddof=1)) / seeds, floor), seeds - 1.0


def mean_over_seeds(values: Sequence[float]) -> Number:
    """Return the mean of a measure with Student's t interval over the seeds."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Number(mean, None, None)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Number(mean, mean - half, mean + half)


def _clipped(mean: float, half: float) -> Number:
    return Number(mean, max(mean - half, 0.0), min(mean + half, 1.0))
