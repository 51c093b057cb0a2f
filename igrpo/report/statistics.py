"""What a report says of an ``Estimate``, or of many: p-values and their correction, effect sizes, detectable effects.

The interval itself is made in ``intervals``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from igrpo.report.intervals import (
    Array,
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
    "paired_differences",
    "planned_minimum_detectable_effect",
    "two_sided_p",
]

#: How much of the variance of right and wrong lies between problems in a plan: difficulties spread as a Beta with
#: a + b = 2 do, evenly over [0, 1] at an accuracy of 0.5 (intraclass correlation 1 / (a + b + 1)).
PROBLEM_SHARE = 1 / 3

#: Where p-values end: beyond it the quantiles of t are infinite.
_SMALLEST_P = 1e-300

#: How finely the distribution of a variance is laid out, with one term and with each of two.
_QUANTILES = {1: 2000, 2: 200}


def two_sided_p(estimate: Estimate) -> float:
    """The p-value of the hypothesis that the true mean is 0.

    It is the level at which the interval of the same ``Estimate`` ends at 0: p < 0.05 exactly where the 95 % interval
    excludes 0. See ``intervals.half_width``, which holds at every level.
    """
    terms = [(variance, df) for variance, df in estimate.terms if variance > 0]

    def excess(log_p: float) -> float:
        """Above 0 where the interval of level 1 - p covers 0."""
        return float(sum(v * stats.t.isf(math.exp(log_p) / 2, df) ** 2 for v, df in terms)) - estimate.mean**2

    t = abs(estimate.mean) / estimate.standard_error
    low, high = (2 * float(stats.t.sf(t, choose(df for _, df in terms))) for choose in (max, min))
    if high <= _SMALLEST_P or low == high:
        return high
    # Each t_i has its own p, and that of their mixture lies between them; widened, as these are rounded.
    edges = math.log(max(low, _SMALLEST_P)) - 1e-6, min(math.log(high) + 1e-6, 0.0)
    return high if excess(edges[0]) <= 0 else math.exp(optimize.brentq(excess, *edges))


def p_better(estimate: Estimate) -> float:
    """1 - p / 2 for a mean above 0, p / 2 for one below: with one term the probability that the true mean is above 0,
    given the data and a flat prior, and on the careful side of it with two."""
    tail = two_sided_p(estimate) / 2
    return 1 - tail if estimate.mean > 0 else tail


def effect_size(values_SQ: ArrayLike) -> float | None:
    """The mean over the standard deviation of the S seeds' means. None with fewer than 2 seeds or where those agree."""
    by_seed = seed_problem_matrix(values_SQ).mean(axis=1)
    if len(by_seed) < 2 or np.ptp(by_seed) <= 1e-12:
        return None
    return float(by_seed.mean() / by_seed.std(ddof=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order: comparing them with 5 % bounds the chance of any false finding by 5 %.

    The i-th smallest of m is multiplied by m - i + 1, is no less than the one before it, and at most 1 (Holm 1979).

    Raises:
        ValueError: a value outside [0, 1].
    """
    wrong = [p for p in p_values if not 0.0 <= p <= 1.0]
    if wrong:
        raise ValueError(f"p-values must lie between 0 and 1, and {wrong[0]} does not")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min((len(p_values) - rank) * p_values[index], 1.0))
        adjusted[index] = highest
    return adjusted


def minimum_detectable_effect(estimate: Estimate, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest true mean of which an interval of this design excludes 0, on the right side, with ``power``.

    In the unit of the mean; above 1 nothing can be found. It rests on the observed standard error, which is itself
    rough at few seeds.

    Raises:
        ValueError: ``level`` or ``power`` outside (0, 1), or a ``power`` that no effect at all would have.
    """
    return _detectable(estimate.terms, power, level)


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
    """The same before anything was run, for two conditions paired by seed and problem. In shares: 0.05 is 5 points.

    The assumed model. Either condition answers ``problems`` problems ``samples`` times at each seed, right with a
    probability that is fixed for a condition and problem, has mean p = ``accuracy`` and varies between problems with
    variance p (1 - p) / 3 (``PROBLEM_SHARE``; spread evenly over [0, 1] at 0.5). Samples given that probability are
    independent. The difference of two answers' means then has the components

    - between problems: 2 (1 - ``problem_correlation``) p (1 - p) / 3, where ``problem_correlation`` is the correlation
      over problems of the two conditions' probabilities. 1: what changes, changes every problem alike;
    - residual, the binomial noise of both: 2 (2/3) p (1 - p) / ``samples``;
    - between seeds: ``seed_sd``^2, the variance over seeds of the difference itself, with endless problems and samples.

    They give the terms of the variance that ``crossed_estimate`` would find on average. It takes two seeds: one cannot
    tell a difference from chance.

    Raises:
        ValueError: a number outside its range.
    """
    for name, number, least in (("seeds", seeds, 2), ("problems", problems, 2), ("samples", samples, 1)):
        if number < least:
            raise ValueError(f"{name}={number} must be at least {least}")
    check_share("accuracy", accuracy)
    if seed_sd < 0:
        raise ValueError(f"seed_sd={seed_sd} must be 0 or more")
    if not 0.0 <= problem_correlation <= 1.0:
        raise ValueError(f"problem_correlation={problem_correlation} must lie between 0 and 1")
    spread = 2 * accuracy * (1 - accuracy)
    between = spread * PROBLEM_SHARE * (1 - problem_correlation)
    residual = spread * (1 - PROBLEM_SHARE) / samples
    terms = crossed_terms(
        residual + problems * seed_sd**2, residual + seeds * between, residual, seeds=seeds, problems=problems
    )
    return _detectable([(float(variance), df) for variance, df in terms], power, level)


def _detectable(terms: Sequence[tuple[float, float]], power: float, level: float) -> float:
    """The true mean of which the interval of ``terms`` excludes 0, on the right side, with ``power``.

    The terms' variances are taken for the true ones, and their estimates as independent chi-squares. (t_level +
    t_power, the common shortcut, is 5 % short of it at 2 degrees of freedom.)
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


def paired_differences(
    a: Mapping[int, Mapping[str, float]], b: Mapping[int, Mapping[str, float]]
) -> tuple[tuple[int, ...], tuple[str, ...], Array]:
    """``b`` minus ``a``, each by seed and problem id, over the seeds of both and the problems in every one of those.

    Returns:
        seeds (S,) and problem ids (Q,), both sorted, and the differences [S, Q].

    Raises:
        ValueError: no seed or no problem in common; the message names where they part.
    """
    seeds = tuple(sorted(a.keys() & b.keys()))
    if not seeds:
        raise ValueError(
            f"the two conditions share no seed: the first has {sorted(a)}, the second {sorted(b)}; "
            "run both with the same seeds"
        )
    common: set[str] | None = None
    for name, condition in (("first", a), ("second", b)):
        for seed in seeds:
            found = condition[seed].keys()
            if common is not None and not common & found:
                raise ValueError(
                    f"no problem is in every run of both conditions: seed {seed} of the {name} has {_some(found)}, the "
                    f"runs before it share {_some(common)}; evaluate both on the same problems"
                )
            common = set(found) if common is None else common & found
    problems = tuple(sorted(common or ()))
    if not problems:
        raise ValueError(f"seed {seeds[0]} of the first condition has no problem; it was not evaluated")
    return seeds, problems, np.array([[b[seed][q] - a[seed][q] for q in problems] for seed in seeds], dtype=np.float64)


def _some(ids: Set[str]) -> str:
    first = sorted(ids)[:3]
    return f"{len(ids)} problems ({', '.join(first)}{', ...' if len(ids) > 3 else ''})" if ids else "no problem"
