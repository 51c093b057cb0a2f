"""Intervals for the checks: of any statistic by a bootstrap over questions, and of differences of two benchmarks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

_RESAMPLES = 1000
#: Number of resamples that are computed together, which limits the memory.
_AT_A_TIME = 50
#: Normal quantile of a two-sided 95 % interval.
_Z = float(ndtri(0.975))


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the bounds of its 95 % interval; None if the error cannot be estimated."""

    value: float
    low: float | None
    high: float | None


def bootstrap(
    value: float,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    questions: int,
    *,
    seed: int,
    reflected: bool = False,
) -> Interval:
    """Return a bootstrap interval over questions, limited to [0, 1].

    Args:
        value: the statistic of the questions as they are.
        statistic: maps weights of the questions (R resamples x Q, how often each question was drawn) to R values; nan
            where the statistic is not defined.
        questions: Q.
        seed: seed of the resamples.
        reflected: return the basic interval (2 value - quantile) and not the percentile interval. The statistic of a
            resample is biased by about as much as the value itself if it is a mean of absolute errors: the basic
            interval takes that off.
    """
    if questions < 2:
        return Interval(value, None, None)
    rng = np.random.default_rng(seed)
    shares = np.full(questions, 1 / questions)
    parts = [
        statistic(rng.multinomial(questions, shares, size=_AT_A_TIME).astype(np.float64))
        for _ in range(_RESAMPLES // _AT_A_TIME)
    ]
    values = np.concatenate(parts)
    values = values[~np.isnan(values)]
    if len(values) < _RESAMPLES // 2:
        return Interval(value, None, None)
    low, high = (float(q) for q in np.quantile(values, (0.025, 0.975)))
    if reflected:
        low, high = 2 * value - high, 2 * value - low
    return Interval(value, min(max(low, 0.0), 1.0), max(min(high, 1.0), 0.0))


def difference_of_shares(first: Sequence[bool], second: Sequence[bool]) -> Interval:
    """Return the difference (first - second) of the shares in two independent samples.

    The interval is Newcombe's hybrid of two Wilson intervals (1998, Statistics in Medicine 17, method 10), which has a
    width also where both shares are 0.

    Raises:
        ValueError: one of them is empty.
    """
    p, q = _share(first), _share(second)
    (p_low, p_high), (q_low, q_high) = wilson(sum(first), len(first)), wilson(sum(second), len(second))
    below, above = math.hypot(p - p_low, q_high - q), math.hypot(p_high - p, q - q_low)
    return Interval(p - q, p - q - below, p - q + above)


def difference_of_means(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return the difference (first - second) of the means of two independent samples of values in [0, 1].

    The interval is Welch's t interval, limited to [-1, 1], in which the difference must be.

    Raises:
        ValueError: one of them is empty.
    """
    if not first or not second:
        raise ValueError("a mean needs at least one value")
    difference = fmean(first) - fmean(second)
    if len(first) < 2 or len(second) < 2:
        return Interval(difference, None, None)
    a, b = variance(first) / len(first), variance(second) / len(second)
    if a + b == 0:
        return Interval(difference, None, None)
    df = (a + b) ** 2 / (a * a / (len(first) - 1) + b * b / (len(second) - 1))
    half = float(stdtrit(df, 0.975)) * math.sqrt(a + b)
    return Interval(difference, max(difference - half, -1.0), min(difference + half, 1.0))


def wilson(count: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a share of independent cases.

    Raises:
        ValueError: ``n`` is 0.
    """
    if n < 1:
        raise ValueError("a share needs at least one case")
    p = count / n
    centre = (p + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    return min(max(centre - half, 0.0), p), max(min(centre + half, 1.0), p)


def share(cases: Sequence[bool]) -> Interval:
    """Return the share of true cases with Wilson's interval.

    Raises:
        ValueError: there are no cases.
    """
    return Interval(_share(cases), *wilson(sum(cases), len(cases)))


def _share(cases: Sequence[bool]) -> float:
    if not cases:
        raise ValueError("a share needs at least one case")
    return sum(cases) / len(cases)


def mean(values: Sequence[float]) -> Interval:
    """Return the mean of independent values in [0, 1], with Student's t interval, limited to [0, 1].

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    spread = variance(values) / len(values) if len(values) > 1 else 0.0
    if spread == 0:
        return Interval(fmean(values), None, None)
    half = float(stdtrit(len(values) - 1, 0.975)) * math.sqrt(spread)
    return Interval(fmean(values), max(fmean(values) - half, 0.0), min(fmean(values) + half, 1.0))
