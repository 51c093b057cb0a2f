"""The mean over benchmarks and its interval: by hand, against that of one benchmark, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from igrpo.report.intervals import crossed_estimate
from igrpo.tools.reproduce.average import Number, mean_accuracy, mean_over_seeds


def test_one_benchmark_has_the_interval_of_the_report() -> None:
    shares = np.random.default_rng(0).uniform(size=(3, 20))
    expected = crossed_estimate(shares)
    found = mean_accuracy([shares])
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))


def test_the_terms_of_two_equal_benchmarks_by_hand() -> None:
    """Copies of one benchmark share all of the seeds' spread; their problems count as different ones."""
    difficulty = np.random.default_rng(1).uniform(0.3, 0.7, size=(1, 12))
    shares = difficulty + np.random.default_rng(2).uniform(-0.05, 0.05, size=(3, 12))
    seeds, problems = crossed_estimate(shares).terms
    t_seeds, t_problems = (float(stats.t.ppf(0.975, df)) for df in (2, 11))
    half = math.sqrt(t_seeds**2 * seeds[0] + t_problems**2 * 2 * problems[0] / 4)
    found = mean_accuracy([shares, shares])
    assert found.mean == pytest.approx(shares.mean())
    assert (found.low, found.high) == pytest.approx((shares.mean() - half, shares.mean() + half))
    assert 0.02 < half < 0.3


def test_every_benchmark_has_the_same_weight() -> None:
    found = mean_accuracy([np.array([[1.0, 1.0, 1.0, 0.0]]), np.array([[0.0, 1.0]])])
    assert found.mean == pytest.approx((0.75 + 0.5) / 2)


def test_one_seed_by_hand() -> None:
    one, two = np.array([[0.4, 0.6, 0.4, 0.6]]), np.array([[0.5, 0.4, 0.6]])
    # variances (n - 1) 0.04 / 3 and 0.01, of the means 0.01 / 3 each, of half of each mean a quarter
    half = math.sqrt((stats.t.ppf(0.975, 3) ** 2 + stats.t.ppf(0.975, 2) ** 2) * 0.01 / 3 / 4)
    found = mean_accuracy([one, two])
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))


def test_equal_values_leave_room_for_others() -> None:
    found = mean_accuracy([np.ones((2, 5)), np.array([[1.0, 0.0, 1.0, 0.5], [1.0, 0.0, 0.5, 0.5]])])
    assert found.low is not None
    assert found.low < found.mean < 1
    all_right = mean_accuracy([np.ones((2, 10)), np.ones((2, 10))])
    assert all_right.mean == 1.0
    assert all_right.low is not None
    assert all_right.low < 0.9


def test_the_interval_covers_the_mean_of_other_seeds_and_problems() -> None:
    """Two benchmarks with effects of seeds that they share, and of problems: at least 93 of 100 nominal 95."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        seed = 0.05 * rng.standard_normal((3, 1))
        drawn = [0.5 + seed + 0.15 * rng.standard_normal((1, q)) + 0.1 * rng.standard_normal((3, q)) for q in (30, 200)]
        found = mean_accuracy(drawn)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert covered >= 372


def test_seeds_have_to_be_the_same() -> None:
    with pytest.raises(ValueError, match="the same seeds"):
        mean_accuracy([np.ones((2, 3)), np.ones((1, 3))])


def test_other_measures() -> None:
    assert mean_over_seeds([3.0]) == Number(3.0, None, None)
    found = mean_over_seeds([1.0, 3.0])
    half = float(stats.t.ppf(0.975, 1)) * math.sqrt(2.0) / math.sqrt(2.0)  # deviation sqrt(2), 2 seeds
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))
