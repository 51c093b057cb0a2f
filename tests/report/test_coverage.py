"""Simulated coverage of the 95 % intervals, and error rate of a corrected family of tests.

For Gaussian effects the mean is independent of the mean squares. The coverage given these is 2 Phi(half / sd) - 1, and
its mean over 20,000 draws of theirs has a Monte Carlo error below 0.15 points (asserted).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import special, stats

from igrpo.report.intervals import Array, crossed_terms, half_width, mean_squares
from igrpo.report.statistics import bootstrap_interval, crossed_estimate, holm, two_sided_p

#: Standard deviations of seeds, problems and residual.
COMPONENTS = {
    "seeds alone": (0.10, 0.0, 0.10),
    "seeds above all": (0.05, 0.10, 0.30),
    "problems alone": (0.0, 0.30, 0.10),
    "problems and residual": (0.0, 0.20, 0.30),
    "residual alone": (0.0, 0.0, 0.30),
    "a little of seeds": (0.01, 0.10, 0.30),
    "all alike": (0.03, 0.30, 0.30),
}

DRAWS = 20_000


def drawn_mean_squares(seeds: int, problems: int, expected: tuple[float, float, float]) -> tuple[Array, Array, Array]:
    draw = np.random.default_rng([seeds, problems])
    a, b, e = (
        x * draw.chisquare(df, DRAWS) / df
        for x, df in zip(expected, (seeds - 1, problems - 1, (seeds - 1) * (problems - 1)), strict=True)
    )
    return a, b, e


def expected_mean_squares(seeds: int, problems: int, sds: tuple[float, float, float]) -> tuple[float, float, float]:
    a, b, e = (sd**2 for sd in sds)
    return e + problems * a, e + seeds * b, e


def covered(half: Array, seeds: int, problems: int, expected: tuple[float, float, float]) -> tuple[float, float]:
    """Return a share in percent with its Monte Carlo error."""
    a, b, e = expected
    share = 2 * special.ndtr(half / math.sqrt((a + b - e) / (seeds * problems))) - 1
    return 100 * float(share.mean()), 100 * float(share.std()) / math.sqrt(DRAWS)


def half(seeds: int, problems: int, squares: tuple[Array, Array, Array], level: float = 0.95) -> Array:
    return half_width(crossed_terms(*squares, seeds=seeds, problems=problems), level)


def one_t(seeds: int, problems: int, squares: tuple[Array, Array, Array], level: float = 0.95) -> Array:
    """One t quantile for both terms: the control, which fails in the tails."""
    a, b, e = squares
    excess = np.maximum(b - e, 0.0)
    df = (a + excess) / (a / (seeds - 1) + excess / (problems - 1))
    return np.asarray(np.sqrt((a + excess) / (seeds * problems)) * stats.t.ppf(0.5 + level / 2, df))


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize("problems", [40, 100, 250])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_coverage(seeds: int, problems: int, name: str) -> None:
    expected = expected_mean_squares(seeds, problems, COMPONENTS[name])
    width = half(seeds, problems, drawn_mean_squares(seeds, problems, expected))
    percent, error = covered(width, seeds, problems, expected)
    assert error < 0.15
    assert 94.7 < percent < 98.0  # measured 94.9 to 97.8


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 10, 20])
@pytest.mark.parametrize("level", [0.95, 1 - 0.05 / 13, 0.999])
def test_the_interval_covers_at_every_level(seeds: int, level: float) -> None:
    # Where Satterthwaite fails at 3 seeds: the seeds' variance is most of it, and the problems' a tenth.
    for seed_ratio, problem_ratio in ((10, 3), (30, 5), (100, 10), (100, 5), (5, 10), (1, 1)):
        expected = (float(seed_ratio), float(problem_ratio), 1.0)
        squares = drawn_mean_squares(seeds, 100, expected)
        percent, error = covered(half(seeds, 100, squares, level), seeds, 100, expected)
        assert percent > 100 * level - 3 * error - 0.1 * (1 - level)


@pytest.mark.parametrize(("seeds", "times"), [(2, 5.0), (3, 2.0)])
def test_one_t_for_both_terms_fails_in_the_tails(seeds: int, times: float) -> None:
    expected = (30.0, 5.0, 1.0)
    width = one_t(seeds, 100, drawn_mean_squares(seeds, 100, expected), 1 - 0.05 / 13)
    percent, _ = covered(width, seeds, 100, expected)
    assert 100 - percent > times * 5 / 13


def test_plain_satterthwaite_falls_short_at_3_seeds() -> None:
    # What the interval's rules are for; the same draws show that this simulation can fail.
    expected = (30.0, 5.0, 1.0)
    a, b, e = drawn_mean_squares(3, 100, expected)
    variance = np.maximum(a + b - e, 1e-12)
    df = variance**2 / (a**2 / 2 + b**2 / 99 + e**2 / 198)
    percent, _ = covered(np.sqrt(variance / 300) * stats.t.ppf(0.975, np.maximum(df, 1.0)), 3, 100, expected)
    assert percent < 93.0


def test_t_over_the_seeds_means_forgets_the_problems() -> None:
    expected = expected_mean_squares(3, 40, COMPONENTS["problems alone"])
    a, _, _ = drawn_mean_squares(3, 40, expected)
    percent, _ = covered(np.sqrt(a / 120) * stats.t.ppf(0.975, 2), 3, 40, expected)
    assert percent < 55.0


def effects(draws: int, seeds: int, problems: int, sds: tuple[float, float, float]) -> Array:
    draw = np.random.default_rng([seeds, problems, 1])
    shapes = ((draws, seeds, 1), (draws, 1, problems), (draws, seeds, problems))
    return np.asarray(sum(sd * draw.normal(size=shape) for sd, shape in zip(sds, shapes, strict=True)))


@pytest.mark.parametrize("name", ["seeds above all", "problems and residual"])
def test_coverage_of_whole_matrices(name: str) -> None:
    # The same through crossed_estimate: 1500 matrices, error 0.56 points at 95 %, 3 of them beside 94.3 to 96.1.
    found = [crossed_estimate(values) for values in effects(1500, 3, 60, COMPONENTS[name])]
    percent = 100 * float(np.mean([one.low <= 0 <= one.high for one in found]))
    assert 92.6 < percent < 97.8


def test_mean_squares_have_the_expectations_that_are_drawn() -> None:
    sds = COMPONENTS["all alike"]
    squares = mean_squares(effects(4000, 5, 40, sds))
    for square, expected, df in zip(squares, expected_mean_squares(5, 40, sds), (4, 39, 156), strict=True):
        assert float(square.mean()) == pytest.approx(expected, rel=4 * math.sqrt(2 / df / 4000))
        assert float(square.var()) == pytest.approx(2 * expected**2 / df, rel=0.25)


@pytest.mark.parametrize(("seeds", "low", "high"), [(3, 70, 82), (5, 77, 88), (10, 86, 95)])
def test_the_percentile_bootstrap_falls_short(seeds: int, low: float, high: float) -> None:
    # 500 matrices: error 1.9, 1.7 and 1.2 points beside the documented 75 to 77, 82 and 90 to 93.
    intervals = [
        bootstrap_interval(values, resamples=300) for values in effects(500, seeds, 40, COMPONENTS["seeds alone"])
    ]
    assert low < 100 * float(np.mean([one[0] <= 0 <= one[1] for one in intervals])) < high


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("logits", [(0.0, 0.5), (1.5, 1.5)])
def test_coverage_of_differences_of_answers(seeds: int, logits: tuple[float, float]) -> None:
    """Simulate 4 samples per problem, right with probability logistic(logit + difficulty + seed + problem of this condition).

    2000 matrices: error 0.49 points at 95 %; 93 to 97 with 2 of them.
    """
    draw = np.random.default_rng([seeds, 2])
    size, problems, sds = 2000, 60, (0.3, 0.5)
    shared = 1.5 * draw.normal(size=(size, 1, problems))
    values = []
    for logit in logits:
        seed, problem = (
            sd * draw.normal(size=shape) for sd, shape in zip(sds, ((size, seeds, 1), (size, 1, problems)), strict=True)
        )
        values.append(draw.binomial(4, special.expit(logit + shared + seed + problem)) / 4)
    # The true means: a logistic of a normal, by Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = math.sqrt(1.5**2 + 0.3**2 + 0.5**2)
    truth = [float(weights @ special.expit(logit + spread * nodes) / weights.sum()) for logit in logits]
    differences = values[1] - values[0]
    width = half(seeds, problems, mean_squares(differences))
    percent = 100 * float((np.abs(differences.mean((1, 2)) - (truth[1] - truth[0])) <= width).mean())
    assert 93.5 < percent < 98.5


#: Conditions that all equal their baseline. Problems, logit, samples per problem (None: Gaussian values in place of
#: answers), and standard deviations: difficulty that all share, seed of a condition, problem of it, one run's problem.
EQUALS = {
    "seeds alone": (40, 0.0, None, (0.0, 1.0, 0.0, 0.3)),
    "seeds and problems": (100, 0.0, None, (0.0, 0.3, 1.0, 1.0)),
    "residual alone": (40, 0.0, None, (0.0, 0.0, 0.0, 1.0)),
    "answers, sampling alone": (40, 0.0, 1, (0.0, 0.0, 0.0, 0.0)),
    "answers, seeds differ": (100, 0.0, 1, (1.5, 1.0, 0.5, 0.3)),
    "answers, nearly all right": (40, 4.0, 4, (1.5, 0.5, 0.5, 0.3)),
    "answers, all differ": (40, 1.0, 4, (1.5, 0.5, 1.5, 0.3)),
}

MEMBERS, REPEATS = 13, 1500


@functools.cache
def equal_conditions(seeds: int, name: str) -> tuple[tuple[Array, Array, Array], Array]:
    """Mean squares and means [REPEATS, MEMBERS] of the differences of conditions to a common baseline."""
    problems, logit, samples, sds = EQUALS[name]
    draw = np.random.default_rng([seeds, 3])
    shapes = ((1, 1, problems), (MEMBERS + 1, seeds, 1), (MEMBERS + 1, 1, problems), (MEMBERS + 1, seeds, problems))
    found = []
    for _ in range(REPEATS // 50):
        values = logit + sum(
            sd * draw.standard_normal((50, *shape), np.float32) for sd, shape in zip(sds, shapes, strict=True)
        )
        if samples is not None:
            values = (draw.random((samples, *values.shape), np.float32) < special.expit(values)).mean(0)
        differences = values[:, 1:] - values[:, :1]
        found.append((*mean_squares(differences), differences.mean((-2, -1))))
    a, b, e, means = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return (a, b, e), means


def family_error(seeds: int, name: str, size: int, width: Callable[..., Array]) -> float:
    """The share of families in which Holm's correction lets a difference pass: where all are equal, any p < 0.05 / m.

    The members make as many families of that size as they can.
    """
    squares, means = equal_conditions(seeds, name)
    apart = np.abs(means) > width(seeds, EQUALS[name][0], squares, 1 - 0.05 / size)
    apart &= sum(squares) > 0  # without any spread crossed_estimate has another rule
    used = MEMBERS - MEMBERS % size
    return float(apart[:, :used].reshape(REPEATS, -1, size).any(-1).mean())


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 10])
@pytest.mark.parametrize("name", EQUALS)
def test_a_corrected_family_errs_in_at_most_6_percent(seeds: int, name: str) -> None:
    errors = {size: family_error(seeds, name, size, half) for size in (1, 2, 3, 4, 6, 8, 13)}
    assert max(errors.values()) <= 0.06, errors


def test_families_err_with_one_t_for_both_terms() -> None:
    # The same draws show that this simulation can fail.
    assert family_error(2, "seeds and problems", 13, one_t) > 0.2
    assert family_error(3, "seeds and problems", 13, one_t) > 0.08


def test_the_simulated_rule_is_holm_of_the_p_values() -> None:
    draw = np.random.default_rng(4)
    for shift in np.linspace(0.0, 0.4, 12):
        family = [shift * (i < 3) + effects(1, 3, 40, COMPONENTS["all alike"])[0] * draw.normal() for i in range(6)]
        p_values = [two_sided_p(crossed_estimate(values)) for values in family]
        reached = [abs(v.mean()) > half(3, 40, mean_squares(v), 1 - 0.05 / 6) for v in family]
        assert (min(holm(p_values)) < 0.05) == any(reached)
