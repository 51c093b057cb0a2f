"""Confidence intervals of a mean over S seeds and Q problems. Both are crossed: every seed is tested on every problem.

The model is y_sq = mu + a_s + b_q + e_sq, where a (training seed), b (problem) and e (their interaction and the
sampling noise) are random. The interval therefore covers mu for other seeds and problems of the same kind, and not only
for the ones observed. For the difference of two conditions, y is the difference of their accuracies at the same seed
and problem. This removes effects that both share, such as the difficulty of a problem. Accuracies are shares in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

#: Estimated part of the variance of a mean, and its degrees of freedom. Arrays are handled elementwise.
Term = tuple[Array | float, float]

#: Lower bound on the mean square of the factor with fewer levels, as a share of the residual's; see crossed_terms.
RESIDUAL_FLOOR = 0.1


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean with its interval [low, high].

    ``terms`` add up to the variance of the mean, each with its degrees of freedom. With one term the interval is
    Student's t interval. ``seed_sd``, ``problem_sd`` and ``residual_sd`` are the standard deviations of a, b and e (at
    least 0). They are None where the design cannot separate them: with one seed ``problem_sd`` is that of b + e, with
    one problem ``seed_sd`` is that of a + e.
    """

    mean: float
    low: float
    high: float
    terms: tuple[tuple[float, float], ...]
    seeds: int
    problems: int
    seed_sd: float | None
    problem_sd: float | None
    residual_sd: float | None

    @property
    def standard_error(self) -> float:
        """Square root of the sum of the terms."""
        return math.sqrt(sum(variance for variance, _ in self.terms))

    @property
    def degrees_of_freedom(self) -> float:
        """Harmonic mean of the terms' degrees of freedom, weighted by variance; near seeds - 1 if seeds dominate."""
        return sum(variance for variance, _ in self.terms) / sum(variance / df for variance, df in self.terms)


def crossed_estimate(values_SQ: ArrayLike, level: float = 0.95) -> Estimate:
    """Estimate the mean of ``values_SQ`` with an interval, for accuracies of one condition or for paired differences.

    With one seed this is the t interval over problems (Q - 1 degrees of freedom), which does not cover other seeds.
    With one problem it is the t interval over seeds. Otherwise ``half_width`` combines the two terms of
    ``crossed_terms``. The bounds are not clipped to [0, 1]; clipping those of an accuracy loses no coverage.

    If all values are equal, no spread was observed, but an interval of width 0 would claim that none exists. The
    interval is then the mean +- u with u = 1 - (1 - level)^(1 / Q), about 3 / Q at 0.95 (S instead of Q with one
    problem). If more than a share u of such problems had another value, Q equal values would have a probability below
    1 - level. Another value changes a problem by at most 1 (exact for accuracies; a difference could change by up to
    2). This interval, too, covers other problems only: a few seeds that agree do not exclude that another seed fails.

    Near 0 or 1 with few problems, where a few problems hold nearly all the spread, every interval of this kind is too
    short: the simulated coverage of an accuracy of 0.009 from 4 samples is 87 to 100 % at Q = 40 and 94 to 99.6 % at
    Q = 250.

    Raises:
        ValueError: not a matrix of finite numbers, a single value, or a ``level`` outside (0, 1).
    """
    values = seed_problem_matrix(values_SQ)
    check_share("level", level)
    seeds, problems = values.shape
    mean = float(values.mean())
    single = min(seeds, problems) == 1
    seed_sd = problem_sd = residual_sd = None
    terms: tuple[tuple[float, float], ...]
    if np.ptp(values) <= 1e-12:  # differences of equal shares may differ by rounding
        units = problems if problems > 1 else seeds
        unseen = (1 - (1 - level) ** (1 / units)) / float(stats.t.ppf(0.5 + level / 2, units - 1.0))
        terms = ((unseen**2, units - 1.0),)
        components = (0.0, 0.0, 0.0)
    elif single:
        sd = float(values.std(ddof=1))
        terms = ((sd**2 / values.size, values.size - 1.0),)
        components = (sd, sd, sd)
    else:
        squares = mean_squares(values)
        found = crossed_terms(*squares, seeds=seeds, problems=problems)
        terms = tuple((float(variance), df) for variance, df in found)
        a, b, e = (float(square) for square in squares)
        components = (math.sqrt(max(a - e, 0.0) / problems), math.sqrt(max(b - e, 0.0) / seeds), math.sqrt(e))
    seed_sd = components[0] if seeds > 1 else None
    problem_sd = components[1] if problems > 1 else None
    residual_sd = None if single else components[2]
    half = float(half_width(terms, level))
    return Estimate(mean, mean - half, mean + half, terms, seeds, problems, seed_sd, problem_sd, residual_sd)


def mean_squares(values_SQ: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the mean squares of seeds, problems and residual of a matrix or a batch [..., S, Q] (S, Q >= 2)."""
    values = np.asarray(values_SQ, dtype=np.float64)
    seeds, problems = values.shape[-2:]
    grand = values.mean((-2, -1), keepdims=True)
    by_seed, by_problem = values.mean(-1, keepdims=True), values.mean(-2, keepdims=True)
    residual = values - by_seed - by_problem + grand
    return (
        problems * ((by_seed - grand) ** 2).sum((-2, -1)) / (seeds - 1),
        seeds * ((by_problem - grand) ** 2).sum((-2, -1)) / (problems - 1),
        (residual**2).sum((-2, -1)) / ((seeds - 1) * (problems - 1)),
    )


def crossed_terms(
    ms_seeds: ArrayLike, ms_problems: ArrayLike, ms_residual: ArrayLike, *, seeds: int, problems: int
) -> tuple[Term, Term]:
    """Estimate the variance of a crossed mean, as terms for ``half_width``. Works elementwise.

    var(mean) = (MS_S + MS_Q - MS_E) / (S Q) is unbiased for the balanced two-way random model (Searle, Casella and
    McCulloch, Variance Components, 1992). The terms are MS_S with S - 1 degrees of freedom and max(MS_Q - MS_E, 0) with
    Q - 1, each divided by S Q. With fewer problems than seeds the two are exchanged: the residual is subtracted from
    the factor with more levels.

    MS_S is set to at least a tenth of MS_E, since its expectation is no smaller than that of MS_E. This matters only at
    2 or 3 seeds. The reason is that accuracies are coarse: the means of 2 seeds coincide in a few of 100 runs, and a
    variance of 0 would make any difference certain.
    """
    a, b, e = (np.asarray(square, dtype=np.float64) for square in (ms_seeds, ms_problems, ms_residual))
    (fewer, df_fewer), (more, df_more) = sorted(((a, seeds - 1.0), (b, problems - 1.0)), key=lambda term: term[1])
    cells = seeds * problems
    return (np.maximum(fewer, RESIDUAL_FLOOR * e) / cells, df_fewer), (np.maximum(more - e, 0.0) / cells, df_more)


def half_width(terms: Sequence[Term], level: float) -> Array:
    """Return half the width of the interval of a mean whose variance is estimated by the sum of independent ``terms``.

    It is the square root of the sum of t_i^2 V_i, where t_i is Student's quantile for the degrees of freedom of term i
    (Banerjee, Sankhya 22, 1960). The interval covers the true mean with at least the probability ``level``, at every
    level and for all shares of the terms. Proof: the probability that a squared normal variable is below x is concave
    in x. The coverage of a mixture of the terms is therefore no less than the mixture of their coverages, and each of
    these is ``level`` by the definition of t.

    A single t quantile with degrees of freedom fitted to the terms (Satterthwaite 1946) covers about 95 %, but fails in
    the tails, which a correction for many comparisons uses. At 3 seeds MS_S has 2 degrees of freedom; if it is small by
    chance, its weight in the fit is small, too. The table shows simulations with Gaussian effects: the lowest and
    highest coverage of the nominal 95 % interval over 81 pairs of expected mean squares of seeds and problems (1 to
    1000 times the residual's) at Q = 40, 100 and 250, and the highest probability of p < 0.001, in units of 0.001:

        seeds                             2              3             4             5             10            20
        this                        94.9 - 100.0    94.9 - 97.8   95.0 - 97.0   95.0 - 96.7   94.9 - 95.9   94.9 - 95.8
          p < 0.001                       0.0            1.2           1.0           1.0           1.0           1.1
        one t, df from the terms     90.7 - 96.5    94.1 - 96.5   94.9 - 96.3   95.0 - 96.3   94.9 - 95.8   94.9 - 95.8
          p < 0.001                      32.6            7.8           3.2           1.9           1.0           1.1
        Satterthwaite                81.6 - 95.8    89.8 - 96.1   93.2 - 96.6   94.2 - 97.1   94.7 - 97.1   94.9 - 96.4
          p < 0.001                     177.3           95.3          61.1          35.5           8.3           1.1

    The cost: if problems vary more than seeds, coverage is above the nominal level at 2 to 4 seeds. This never happens
    with the t interval over the seeds' means, but that interval is correct only without problem effects, and too short
    as soon as the problems that the seeds share matter. benchmarks/interval_coverage.py prints these numbers; they are
    stored in benchmarks/results/interval_coverage.json.
    """
    quantiles = [float(stats.t.ppf(0.5 + level / 2, df)) for _, df in terms]
    return np.sqrt(sum(np.asarray(variance) * t**2 for (variance, _), t in zip(terms, quantiles, strict=True)))


def bootstrap_interval(
    values_SQ: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean.

    Seeds and problems are drawn independently, each with replacement. The interval is reported in addition to that of
    ``crossed_estimate`` because it is widely used. It applies neither the factor S / (S - 1) nor the t quantile. If
    seeds dominate the variance, its 95 % interval covers 75 to 77, 82 and 90 to 93 % (3, 5 and 10 seeds). If the
    residual dominates, it covers nearly 100 %, since each of the two draws contributes the whole residual. The same
    arguments give the same interval; equal values give width 0.

    Raises:
        ValueError: as in ``crossed_estimate``, or ``resamples`` is below 1.
    """
    values = seed_problem_matrix(values_SQ)
    check_share("level", level)
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1, for example 2000")
    seeds, problems = values.shape
    draw = np.random.default_rng(seed)
    seeds_RS = draw.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    problems_RQ = draw.multinomial(problems, np.full(problems, 1 / problems), size=resamples)
    means_R = ((seeds_RS @ values) * problems_RQ).sum(axis=1) / (seeds * problems)
    low, high = np.quantile(means_R, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def seed_problem_matrix(values_SQ: ArrayLike) -> Array:
    """Convert ``values_SQ`` to an array and check it; raises the errors of ``crossed_estimate``."""
    values = np.asarray(values_SQ, dtype=np.float64)
    if values.ndim != 2 or values.size < 2:
        raise ValueError(
            f"an interval needs a matrix of seeds x problems with 2 values or more, and the shape is {values.shape}; "
            "evaluate more problems or run more seeds"
        )
    if not np.isfinite(values).all():
        raise ValueError("the values of seeds x problems must be finite, and some are not")
    return values


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless ``value`` is strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}={value} must be between 0 and 1, for example 0.95")
