"""Means of values of questions at seeds: hand arithmetic, and the crossed design as a special case."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from igrpo.report.clustered import Value, clustered_mean
from igrpo.report.intervals import crossed_estimate, half_width, mean_squares


def test_one_seed_has_a_mean_and_no_interval() -> None:
    row = [0.25, 0.5, -0.25, 0.75]
    found = clustered_mean([Value(f"q{i}", 0, value) for i, value in enumerate(row)])
    assert found is not None
    assert (found.mean, found.interval) == (pytest.approx(0.3125), None)
    assert (found.values, found.questions, found.seeds) == (4, 4, 1)


def test_a_balanced_design_has_the_terms_of_crossed_effects() -> None:
    values_SQ = np.array([[0.1, 0.5, 0.2, 0.4], [0.3, 0.6, 0.2, 0.1], [0.0, 0.4, 0.1, 0.2]])
    found = clustered_mean([Value(f"q{q}", s, values_SQ[s, q]) for s in range(3) for q in range(4)])
    ms_seeds, ms_questions, _ = mean_squares(values_SQ)
    half = half_width([(ms_seeds / 12, 2.0), (ms_questions / 12, 3.0)], 0.95)
    assert found is not None
    assert found.interval == pytest.approx((values_SQ.mean() - half, values_SQ.mean() + half))
    estimate = crossed_estimate(values_SQ)
    assert found.interval[1] - found.interval[0] >= estimate.high - estimate.low


def test_an_unbalanced_case_by_hand() -> None:
    """Question a twice at seed 0 and once at seed 1, question b at seed 1: the mean of 1, 0, 1, 0 is 1/2."""
    found = clustered_mean([Value("a", 0, 1.0), Value("a", 0, 0.0), Value("a", 1, 1.0), Value("b", 1, 0.0)])
    # sums of the deviations: a = 0.5 - 0.5 + 0.5, b = -0.5; seed 0 = 0, seed 1 = 0. Each with 2 / (2 - 1), over 4^2.
    variance = 2 * (0.5**2 + 0.5**2) / 16
    half = stats.t.ppf(0.975, 1) * math.sqrt(variance)
    assert found is not None
    assert half > 0.5  # so that the ends are cut
    assert found.interval == (max(0.5 - half, -1.0), 1.0)
    within = clustered_mean([Value("a", 0, 1.0), Value("b", 1, 0.0)], bounds=(0.0, 1.0))
    assert within is not None
    assert within.interval == (0.0, 1.0)


def test_without_spread_or_without_questions_there_is_no_interval() -> None:
    assert clustered_mean([]) is None
    for values in ([Value("a", 0, 0.5), Value("b", 1, 0.5)], [Value("a", 0, 0.5), Value("a", 1, 0.25)]):
        found = clustered_mean(values)
        assert found is not None
        assert found.interval is None
