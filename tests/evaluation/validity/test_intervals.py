"""Intervals against published values, other implementations and hand arithmetic."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats

from igrpo.evaluation.validity.intervals import (
    bootstrap,
    difference_of_means,
    difference_of_shares,
    mean,
    share,
    wilson,
)


def test_wilson_is_that_of_scipy() -> None:
    for count, n in ((0, 5), (3, 10), (10, 10), (81, 263)):
        expected = stats.binomtest(count, n).proportion_ci(method="wilson")
        assert wilson(count, n) == pytest.approx((expected.low, expected.high))


def test_newcombe_gives_the_values_of_his_table() -> None:
    # Newcombe 1998, table II, method 10: 56/70 - 48/80 and 9/10 - 3/10; 0/20 - 0/10
    first = difference_of_shares([True] * 56 + [False] * 14, [True] * 48 + [False] * 32)
    assert (first.value, first.low, first.high) == (
        pytest.approx(0.2), pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4),
    )  # fmt: skip
    second = difference_of_shares([True] * 9 + [False], [True] * 3 + [False] * 7)
    assert (second.low, second.high) == (pytest.approx(0.1705, abs=1e-4), pytest.approx(0.8090, abs=1e-4))
    none = difference_of_shares([False] * 20, [False] * 10)
    assert (none.low, none.high) == (pytest.approx(-0.2775, abs=1e-4), pytest.approx(0.1611, abs=1e-4))


def test_the_difference_of_means_is_welch() -> None:
    a, b = [0.30, 0.40, 0.55, 0.60], [0.10, 0.15, 0.35]
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    found = difference_of_means(a, b)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert difference_of_means([1.0], b).low is None
    assert difference_of_means([1.0, 1.0], [0.5, 0.5]).low is None


def test_the_mean_has_students_interval() -> None:
    values = [0.3, 0.5, 0.4, 0.6]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = mean(values)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert mean([0.5]).low is None


def test_intervals_stay_where_the_value_can_be() -> None:
    # Student's bounds of 0.1, 0.2 and 0.74: 0.3467 -/+ 4.3027 * 0.3443 / sqrt(3) = [-0.509, 1.202]
    found = mean([0.1, 0.2, 0.74])
    assert (found.value, found.low, found.high) == (pytest.approx(0.34667, abs=1e-5), 0.0, 1.0)
    difference = difference_of_means([0.9, 0.1], [0.8, 0.2])
    assert (difference.value, difference.low, difference.high) == (pytest.approx(0.0), -1.0, 1.0)


def test_a_bootstrap_of_a_mean_is_near_the_normal_interval() -> None:
    rng = random.Random(0)
    values = np.array([rng.random() for _ in range(300)])
    found = bootstrap(float(values.mean()), lambda weights: weights @ values / weights.sum(axis=1), 300, seed=1)
    half = 1.96 * values.std() / 300**0.5
    assert found.low == pytest.approx(values.mean() - half, abs=half / 8)
    assert found.high == pytest.approx(values.mean() + half, abs=half / 8)


def test_without_an_error_there_are_no_bounds() -> None:
    assert bootstrap(0.5, lambda weights: weights[:, 0], 1, seed=0).low is None
    assert bootstrap(0.5, lambda weights: weights[:, 0] * np.nan, 9, seed=0).low is None


@pytest.mark.parametrize("compute", [share, mean])
def test_nothing_has_no_share(compute: object) -> None:
    with pytest.raises(ValueError, match="at least one"):
        compute([])  # type: ignore[operator]
