"""Statistics of one or more ``Estimate``: p-values and their correction, effect sizes, detectable effects.

The intervals are computed in ``intervals``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from igrpo.report.intervals import (
    Estimate,
    bootstrap_interval,
    check_share,
    crossed_estimate,
    crossed_terms,
    half_width,
    seed_problem_matrix,
)

__all__ = [
    "Estimate",
    "bootstrap_interval",
    "crossed_estimate",
    "effect_size",
    "holm",
    "minimum_detectable_effect",
    "p_better",
    "planned_minimum_detectable_effect",
    "seeds_needed",
    "two_sided_p",
]

#: Assumed share of the variance of right and wrong that is between problems, for planning. Difficulties have a Beta
#: distribution with a + b = 2, uniform over [0, 1] at an accuracy of 0.5 (intraclass correlation 1 / (a + b + 1)).
PROBLEM_SHARE = 1 / 3

#: Largest number of seeds that ``seeds_needed`` tries.
MOST_SEEDS = 1000

#: Smallest p-value; below it the quantiles of t are infinite.
_SMALLEST_P = 1e-300

#: Number of quantiles per term that represent the distribution of its variance estimate, by the number of terms.
_QUANTILES = {1: 2000, 2: 200}


def two_sided_p(estimate: Estimate) -> float:
    """Return the p-value of the hypothesis that the true mean is 0.

    p is such that the interval of level 1 - p of the same ``Estimate`` ends at 0: p < 0.05 exactly if the 95 % interval
    excludes 0. See ``intervals.half_width``, which is valid at every level.
    """
    terms = [(variance, df) for variance, df in estimate.terms if variance > 0]

    def excess(log_p: float) -> float:
        """Return a positive number if the interval of level 1 - p covers 0."""
        return float(sum(v * stats.t.isf(math.exp(log_p) / 2, df) ** 2 for v, df in terms)) - estimate.mean**2

    t = abs(estimate.mean) / estimate.standard_error
    low, high = (2 * float(stats.t.sf(t, choose(df for _, df in terms))) for choose in (max, min))
    if high <= _SMALLEST_P or low == high:
        return high
    # The p of the mixture is between the p-values of the single t_i. The bounds are widened because of rounding.
    edges = math.log(max(low, _SMALLEST_P)) - 1e-6, min(math.log(high) + 1e-6, 0.0)
    return high if excess(edges[0]) <= 0 else math.exp(optimize.brentq(excess, *edges))


def p_better(estimate: Estimate) -> float:
    """Return the probability that the true mean is above 0, given the data and a flat prior.

    It is 1 - p / 2 for a mean above 0, else p / 2. This is exact with one term and conservative with two.
    """
    tail = two_sided_p(estimate) / 2
    return 1 - tail if estimate.mean > 0 else tail


def effect_size(values_SQ: ArrayLike) -> float | None:
    """Return the mean divided by the standard deviation of the S seeds' means; None if S < 2 or all means are equal."""
    by_seed = seed_problem_matrix(values_SQ).mean(axis=1)
    if len(by_seed) < 2 or np.ptp(by_seed) <= 1e-12:
        return None
    return float(by_seed.mean() / by_seed.std(ddof=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values in the given order.

    If each is compared with 5 %, the probability of any false finding is at most 5 %. The i-th smallest of m p-values
    is multiplied by m - i + 1, then raised to at least the value before it and limited to 1 (Holm 1979).

    Raises:
        ValueError: a value is outside [0, 1].
    """
    wrong = [p for p in p_values if not 0.0 <= p <= 1.0]
    if wrong:
        raise ValueError(f"p-values must be between 0 and 1, and {wrong[0]} does not")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min((len(p_values) - rank) * p_values[index], 1.0))
        adjusted[index] = highest
    return adjusted


def minimum_detectable_effect(estimate: Estimate, power: float = 0.8, level: float = 0.95) -> float:
    """Return the smallest true mean that this design detects with probability ``power``.

    Detection means that the interval excludes 0 on the correct side. The result is in the unit of the mean; above 1, no
    difference can be detected. It uses the observed standard error, which is itself imprecise at few seeds.

    Raises:
        ValueError: ``level`` or ``power`` is outside (0, 1), or ``power`` is reached without any effect.
    """
    return _detectable(estimate.terms, power, level)


def seeds_needed(estimate: Estimate, effect: float, power: float = 0.8, level: float = 0.95) -> int | None:
    """Return the smallest number of seeds with which a true mean of ``effect`` is detected with ``power``.

    The seeds' part of the variance is taken to fall as 1 / seeds from the measured one, and the problems' part to stay
    as it is, since the problems and samples do. The measured part is imprecise at few seeds, and so is the result.

    Returns:
        At least 2. None if ``MOST_SEEDS`` are not enough, since more seeds do not average out differences between the
        problems.

    Raises:
        ValueError: one seed was measured, so that the spread between seeds is unknown; ``effect`` is not above 0;
            ``level`` or ``power`` as in ``minimum_detectable_effect``.
    """
    if effect <= 0:
        raise ValueError(f"effect={effect} must be above 0, for example 0.05")
    if estimate.seed_sd is None:
        raise ValueError("one seed does not show the spread between seeds: run at least two")
    of_seeds, of_problems = _terms_by_factor(estimate)

    def shows(seeds: int) -> bool:
        scaled = [(variance * estimate.seeds / seeds, seeds - 1.0) for variance, _ in of_seeds]
        return _detectable([*scaled, *of_problems], power, level) <= effect

    tried = range(2, MOST_SEEDS + 1)
    first = bisect_left(tried, True, key=shows)  # more seeds never show less
    return tried[first] if first < len(tried) else None


def _terms_by_factor(estimate: Estimate) -> tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]:
    """Return the terms of the variance that are due to seeds, and those that are due to problems."""
    terms = estimate.terms
    if estimate.problems == 1:
        return terms, ()
    if len(terms) == 1:  # all values were equal: the interval is about other problems
        return (), terms
    return (terms[:1], terms[1:]) if estimate.seeds <= estimate.problems else (terms[1:], terms[:1])


def planned_minimum_detectable_effect(
    *,
    seeds: int,
    problems: int,
    samples: int,
    accuracy: float = 0.5,
    seed_sd: float = 0.0,
    problem_correlation: float = 0.9,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """Predict the minimum detectable effect before any run, for two conditions paired by seed and problem.

    The result is a share: 0.05 is 5 percentage points.

    Assumed model: each condition answers ``problems`` problems ``samples`` times at each seed. The probability of a
    right answer is fixed for a condition and problem. It has mean p = ``accuracy`` and varies between problems with
    variance p (1 - p) / 3 (``PROBLEM_SHARE``; uniform over [0, 1] at 0.5). Given that probability, samples are
    independent. The difference of the two conditions' mean answers then has these variance components:

    - between problems: 2 (1 - ``problem_correlation``) p (1 - p) / 3, where ``problem_correlation`` is the correlation
      over problems of the two conditions' probabilities. At 1 any change is the same for every problem;
    - residual, the binomial noise of both conditions: 2 (2/3) p (1 - p) / ``samples``;
    - between seeds: ``seed_sd``^2, the variance of the difference over seeds with infinitely many problems and samples.

    They give the terms of the variance that ``crossed_estimate`` would find on average. At least two seeds are needed,
    since one seed cannot tell a difference from chance.

    Raises:
        ValueError: a number is outside its range.
    """
    for name, number, least in (("seeds", seeds, 2), ("problems", problems, 2), ("samples", samples, 1)):
        if number < least:
            raise ValueError(f"{name}={number} must be at least {least}")
    check_share("accuracy", accuracy)
    if seed_sd < 0:
        raise ValueError(f"seed_sd={seed_sd} must be 0 or more")
    if not 0.0 <= problem_correlation <= 1.0:
        raise ValueError(f"problem_correlation={problem_correlation} must be between 0 and 1")
    spread = 2 * accuracy * (1 - accuracy)
    between = spread * PROBLEM_SHARE * (1 - problem_correlation)
    residual = spread * (1 - PROBLEM_SHARE) / samples
    terms = crossed_terms(
        residual + problems * seed_sd**2, residual + seeds * between, residual, seeds=seeds, problems=problems
    )
    return _detectable([(float(variance), df) for variance, df in terms], power, level)


def _detectable(terms: Sequence[tuple[float, float]], power: float, level: float) -> float:
    """Return the true mean for which the interval of ``terms`` excludes 0, on the correct side, with ``power``.

    The variances of the terms are taken as the true ones, and their estimates as independent chi-square variables. (The
    common approximation t_level + t_power is 5 % too small at 2 degrees of freedom.)
    """
    check_share("level", level)
    check_share("power", power)
    if power <= 0.5 - level / 2:
        raise ValueError(f"power={power} must be above {0.5 - level / 2:g}, which chance alone has at level={level}")
    positive = [(variance, df) for variance, df in terms if variance > 0]
    error = math.sqrt(sum(variance for variance, _ in positive))
    count = _QUANTILES[len(positive)]
    shares = (np.arange(count) + 0.5) / count  # quantiles of the estimates: scipy's nct is nan in part of the range
    estimates = [variance * stats.chi2.ppf(shares, df) / df for variance, df in positive]
    drawn = [(grid, df) for grid, (_, df) in zip(np.meshgrid(*estimates), positive, strict=True)]
    bounds = half_width(drawn, level) / error
    effect = optimize.brentq(lambda effect: stats.norm.sf(bounds - effect).mean() - power, 0.0, bounds.max() + 10)
    return error * float(effect)
