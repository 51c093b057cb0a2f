"""How sure a mean over S seeds and Q problems is. Seeds and problems are crossed: every seed met every problem.

y_sq = mu + a_s + b_q + e_sq, where a (training seed), b (problem) and e (their interaction and the noise of sampling)
are random: the interval covers mu for other seeds and other problems of the same kinds, not for these alone. For the
difference of two conditions y is the difference of their accuracies at the same seed and problem, which removes what
both share (a problem's difficulty). Accuracies are shares in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

#: Part of the variance of a mean, as estimated, and its degrees of freedom. Elementwise where it is an array.
Term = tuple[Array | float, float]

#: The mean square of the factor with fewer levels counts as at least this share of the residual's, see crossed_terms.
RESIDUAL_FLOOR = 0.1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval [low, high].

    ``terms`` add up to the variance of the mean, each with its degrees of freedom; with one the interval is Student's.
    ``seed_sd``, ``problem_sd`` and ``residual_sd`` are the standard deviations of a, b and e (at least 0), None where
    the design cannot tell them apart: with one seed ``problem_sd`` holds b + e, with one problem ``seed_sd`` a + e.
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
        """The square root of the sum of the terms."""
        return math.sqrt(sum(variance for variance, _ in self.terms))

    @property
    def degrees_of_freedom(self) -> float:
        """The harmonic mean of the terms' own, weighted by variance: near seeds - 1 where the seeds decide."""
        return sum(variance for variance, _ in self.terms) / sum(variance / df for variance, df in self.terms)


def crossed_estimate(values_SQ: ArrayLike, level: float = 0.95) -> Estimate:
    """The mean of ``values_SQ`` with its interval, for one condition's accuracies or for paired differences.

    One seed: the t interval over problems (Q - 1), which says nothing about other seeds; one problem: over seeds. Else
    the two terms of ``crossed_terms``, by ``half_width``. The bounds are not cut to [0, 1]: cutting those of an
    accuracy loses no coverage.

    Where all values are equal no spread was seen, but width 0 would claim that none exists. The interval is then the
    mean +- u with u = 1 - (1 - level)^(1 / Q), about 3 / Q at 0.95 (S in place of Q with one problem): if more than a
    share u of such problems gave another value, Q that all agree would have had a chance below 1 - level, and another
    value moves a problem by 1 at most (exact for accuracies; a difference could move by up to 2). This, too, is about
    other problems only: a few seeds that agree cannot rule out that another one fails.

    Near 0 or 1 with few problems, where some hold nearly all the spread, every interval of this kind is too short:
    simulated coverage of an accuracy of 0.009 from 4 samples is 87 to 100 % at Q = 40 and 94 to 99.6 % at Q = 250.

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
    """The mean squares of seeds, problems and residual, of one matrix or of a batch [..., S, Q] (S, Q >= 2)."""
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
    """The estimated variance of a crossed mean, as the terms that ``half_width`` takes. Works elementwise.

    var(mean) = (MS_S + MS_Q - MS_E) / (S Q) is unbiased for the balanced two-way random model (Searle, Casella and
    McCulloch, Variance Components, 1992). The terms are MS_S with S - 1 degrees of freedom and max(MS_Q - MS_E, 0) with
    Q - 1 (with fewer problems than seeds the other way round: the factor with more levels is cut at the residual).

    MS_S counts as at least a tenth of MS_E, which it expects to exceed. Only at 2 or 3 seeds does this change much. It
    is for accuracies, which are coarse: the means of 2 seeds coincide in a few of 100 runs, and to take this for no
    variance would make any difference certain.
    """
    a, b, e = (np.asarray(square, dtype=np.float64) for square in (ms_seeds, ms_problems, ms_residual))
    (fewer, df_fewer), (more, df_more) = sorted(((a, seeds - 1.0), (b, problems - 1.0)), key=lambda term: term[1])
    cells = seeds * problems
    return (np.maximum(fewer, RESIDUAL_FLOOR * e) / cells, df_fewer), (np.maximum(more - e, 0.0) / cells, df_more)


def half_width(terms: Sequence[Term], level: float) -> Array:
    """Half the width of the interval of a mean whose variance is estimated by the sum of independent ``terms``.

    The square root of the sum of t_i^2 V_i, with t_i Student's quantile of the term's own degrees of freedom (Banerjee,
    Sankhya 22, 1960). It covers the truth with at least the probability ``level``, at every level and whatever the
    terms' shares: the chance that a squared normal stays below x is concave in x, so that the coverage of a mixture of
    the terms is no less than the mixture of their coverages, each of which is ``level`` by the definition of t.

    One t quantile with degrees of freedom fitted to the terms (Satterthwaite 1946) holds about 95 % and fails in the
    tails, which a correction for many comparisons uses: at 3 seeds MS_S has 2 degrees of freedom, and where it is small
    by chance, so is its weight in the fit. Simulated, Gaussian effects: lowest and highest coverage of the nominal 95 %
    interval over 81 pairs of expected mean squares of seeds and problems (1 to 1000 times the residual's), Q = 40, 100
    and 250, and the highest chance of p < 0.001, in units of 0.001:

        seeds                             2              3             4             5             10            20
        this                        94.9 - 100.0    94.9 - 97.8   95.0 - 97.0   95.0 - 96.7   94.9 - 95.9   94.9 - 95.8
          p < 0.001                       0.0            1.2           1.0           1.0           1.0           1.1
        one t, df from the terms     90.7 - 96.5    94.1 - 96.5   94.9 - 96.3   95.0 - 96.3   94.9 - 95.8   94.9 - 95.8
          p < 0.001                      32.6            7.8           3.2           1.9           1.0           1.1
        Satterthwaite                81.6 - 95.8    89.8 - 96.1   93.2 - 96.6   94.2 - 97.1   94.7 - 97.1   94.9 - 96.4
          p < 0.001                     177.3           95.3          61.1          35.5           8.3           1.1

    The price: where problems vary more than seeds, it covers too often at 2 to 4 seeds. The t interval over seeds'
    means never does: it is right without problem effects, and too short as soon as the seeds' common problems matter.
    benchmarks/interval_coverage.py prints all of it; its results are in benchmarks/results/interval_coverage.json.
    """
    quantiles = [float(stats.t.ppf(0.5 + level / 2, df)) for _, df in terms]
    return np.sqrt(sum(np.asarray(variance) * t**2 for (variance, _), t in zip(terms, quantiles, strict=True)))


def bootstrap_interval(
    values_SQ: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap of the mean that draws seeds and problems independently, each with replacement.

    Shown beside the other because it is often seen. It knows neither S / (S - 1) nor the t quantile: where seeds
    decide, its 95 % cover 75 to 77, 82 and 90 to 93 % (3, 5 and 10 seeds). Where the residual decides it covers nearly
    100 %, for either draw brings all of it. The same arguments give the same interval; equal values give width 0.

    Raises:
        ValueError: as ``crossed_estimate``, or ``resamples`` below 1.
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
    """``values_SQ`` as a checked array; raises as ``crossed_estimate``."""
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
    """Raises ValueError unless ``value`` lies strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}={value} must lie between 0 and 1, for example 0.95")
