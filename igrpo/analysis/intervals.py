"""How sure a mean over S seeds and Q problems is. Seeds and problems are crossed: every seed met every problem.

y_sq = mu + a_s + b_q + e_sq, where a (training seed), b (problem) and e (their interaction and the noise of sampling)
are random: the interval covers mu for other seeds and other problems of the same kinds, not for these alone. For the
difference of two conditions y is the difference of their accuracies at the same seed and problem, which removes what
both share (a problem's difficulty). Accuracies are shares in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

#: The variance of the mean is taken as at least this share of what the residual alone gives, see crossed_variance.
RESIDUAL_FLOOR = 0.25


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its t interval [low, high].

    ``seed_sd``, ``problem_sd`` and ``residual_sd`` are the standard deviations of a, b and e (at least 0), None where
    the design cannot tell them apart: with one seed ``problem_sd`` holds b + e, with one problem ``seed_sd`` a + e.
    """

    mean: float
    low: float
    high: float
    degrees_of_freedom: float
    standard_error: float
    seeds: int
    problems: int
    seed_sd: float | None
    problem_sd: float | None
    residual_sd: float | None


def crossed_estimate(values_SQ: ArrayLike, level: float = 0.95) -> Estimate:
    """The mean of ``values_SQ`` with its interval, for one condition's accuracies or for paired differences.

    One seed: the t interval over problems (Q - 1), which says nothing about other seeds; one problem: over seeds. Else
    ``crossed_variance``. The bounds are not cut to [0, 1]: cutting those of an accuracy loses no coverage.

    Where all values are equal no spread was seen, but width 0 would claim that none exists. The interval is then the
    mean +- u with u = 1 - (1 - level)^(1 / Q), about 3 / Q at 0.95 (S in place of Q with one problem): if more than a
    share u of such problems gave another value, Q that all agree would have had a chance below 1 - level, and another
    value moves a problem by 1 at most (exact for accuracies; a difference could move by up to 2). This, too, is about
    other problems only: a few seeds that agree cannot rule out that another one fails.

    Near 0 or 1 with few problems, where some hold nearly all the spread, every t interval is too short: simulated
    coverage of an accuracy of 0.009 from 4 samples is 87 to 99.6 % at Q = 40 and 92 to 94 % at Q = 250.

    Raises:
        ValueError: not a matrix of finite numbers, a single value, or a ``level`` outside (0, 1).
    """
    values = seed_problem_matrix(values_SQ)
    check_share("level", level)
    seeds, problems = values.shape
    mean = float(values.mean())
    single = min(seeds, problems) == 1
    seed_sd = problem_sd = residual_sd = None
    if np.ptp(values) <= 1e-12:  # differences of equal shares may differ by rounding
        units = problems if problems > 1 else seeds
        df = units - 1.0
        error = (1 - (1 - level) ** (1 / units)) / float(stats.t.ppf(0.5 + level / 2, df))
        components = (0.0, 0.0, 0.0)
    elif single:
        df = values.size - 1.0
        sd = float(values.std(ddof=1))
        error = sd / math.sqrt(values.size)
        components = (sd, sd, sd)
    else:
        squares = mean_squares(values)
        variance, freedom = crossed_variance(*squares, seeds=seeds, problems=problems)
        error, df = math.sqrt(variance), float(freedom)
        a, b, e = (float(square) for square in squares)
        components = (math.sqrt(max(a - e, 0.0) / problems), math.sqrt(max(b - e, 0.0) / seeds), math.sqrt(e))
    seed_sd = components[0] if seeds > 1 else None
    problem_sd = components[1] if problems > 1 else None
    residual_sd = None if single else components[2]
    half = float(stats.t.ppf(0.5 + level / 2, df)) * error
    return Estimate(mean, mean - half, mean + half, df, error, seeds, problems, seed_sd, problem_sd, residual_sd)


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


def crossed_variance(
    ms_seeds: ArrayLike, ms_problems: ArrayLike, ms_residual: ArrayLike, *, seeds: int, problems: int
) -> tuple[Array, Array]:
    """The estimated variance of a crossed mean, and its degrees of freedom for Student's t. Works elementwise.

    var(mean) = (MS_S + MS_Q - MS_E) / (S Q) is unbiased for the balanced two-way random model (Searle, Casella and
    McCulloch, Variance Components, 1992), and 1 / df = sum w_i^2 / df_i over the shares w_i of the terms is the one of
    Satterthwaite (1946). At 3 seeds MS_S has 2 degrees of freedom, and both go wrong where it is small by chance: the
    sum may be 0 or less, and w_S^2 is small too, so that df is large just when the interval is too short. Therefore

    - V = MS_S + max(MS_Q - MS_E, 0): only the factor with more levels is cut at the residual;
    - V >= MS_E / 4, as MS_E / (S Q) is the least that the true variance can be. It moves the ranges below by less
      than 0.1, and keeps seeds whose means coincide, as coarse shares may, from an interval of width 0;
    - 1 / df = sum w_i / df_i. As w >= w^2 this is the careful side of Satterthwaite, the same where one term is all.
      Cochran and Cox (1957) weight the t quantiles of two variances likewise. But for that least V, df lies between
      S - 1 and Q - 1.

    Simulated coverage of the nominal 95 % interval, Gaussian effects, Monte Carlo error about 0.1: lowest and highest
    over 81 pairs of expected mean squares of seeds and problems (1 to 1000 times the residual's), Q = 40, 100 and 250.

        seeds                         2             3             4             5             10            20
        this                     90.7 - 96.5   94.1 - 96.5   94.9 - 96.3   95.0 - 96.3   94.9 - 95.8   94.9 - 95.8
        Satterthwaite            81.6 - 95.8   89.8 - 96.1   93.2 - 96.6   94.2 - 97.1   94.7 - 97.1   94.9 - 96.4
        V >= MS_S and MS_Q       87.3 - 98.4   92.1 - 98.6   93.6 - 98.6   94.3 - 98.5   94.7 - 97.9   94.9 - 97.3
        t over S seeds' means    24.3 - 95.3    9.6 - 95.0    7.4 - 95.0    6.6 - 95.1    5.5 - 95.0    5.2 - 95.0

    So 2 seeds fall short where the variance is mostly but not wholly the seeds'. The t interval over seeds' means never
    covers too much: it is right without problem effects, and too short as soon as the seeds' common problems matter.
    Answers of 4 samples through a logit model, error 0.5: at S = 3, 5 and 10 differences are covered at 93 to 97 %,
    accuracies of 50 and 92 % at 91 to 97 %. All of it is printed by benchmarks/interval_coverage.py.
    """
    a, b, e = (np.asarray(square, dtype=np.float64) for square in (ms_seeds, ms_problems, ms_residual))
    fewer, more, df_fewer, df_more = a, b, seeds - 1, problems - 1
    if seeds > problems:
        fewer, more, df_fewer, df_more = b, a, problems - 1, seeds - 1
    excess = np.maximum(more - e, 0.0)
    missing = np.maximum(RESIDUAL_FLOOR * e - fewer - excess, 0.0)
    total = fewer + excess + missing
    df = total / (fewer / df_fewer + excess / df_more + missing / (df_fewer * df_more))
    return total / (seeds * problems), df


def bootstrap_interval(
    values_SQ: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap of the mean that draws seeds and problems independently, each with replacement.

    Shown beside the t interval because it is often seen. It knows neither S / (S - 1) nor the t quantile: where seeds
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
