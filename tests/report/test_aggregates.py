"""Aggregates across tasks: what rliable gives, hand arithmetic, and every resample of a small case."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from igrpo.report.aggregates import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/rliable.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", GOLDEN)
def test_the_values_of_rliable(case: dict[str, Any]) -> None:
    for name, key in (("x", "first"), ("y", "second")):
        assert interquartile_mean(case[key]) == pytest.approx(case["iqm"][name], abs=1e-12)
        profile = performance_profile(case[key], case["thresholds"])
        assert profile.tolist() == pytest.approx(case["profile"][name], abs=1e-12)
    improvement = probability_of_improvement(case["first"], case["second"])
    assert improvement == pytest.approx(case["improvement"], abs=1e-12)


def test_the_intervals_of_rliable() -> None:
    """Quantiles of 4,000 resamples are those of rliable's 50,000 up to chance: a few thousandths of these scores."""
    case = GOLDEN[0]
    low, high = stratified_interval(interquartile_mean, case["first"], resamples=4000)
    assert [float(low), float(high)] == pytest.approx(case["iqm_interval"]["x"], abs=0.004)
    ends = stratified_interval(probability_of_improvement, case["first"], case["second"], resamples=4000)
    assert [float(end) for end in ends] == pytest.approx(case["improvement_interval"], abs=0.03)


def test_the_middle_half_by_hand() -> None:
    # 8 scores: two are cut off at each end. 0.1 0.25 | 0.3 0.4 0.5 0.6 | 0.7 0.9
    scores = [[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.5, 0.25]]
    assert interquartile_mean(scores) == pytest.approx((0.3 + 0.4 + 0.5 + 0.6) / 4)
    assert interquartile_mean([[0.2], [0.4], [0.9]]) == pytest.approx(0.5)  # a quarter of 3, rounded down, is none


def test_a_profile_counts_what_is_strictly_above() -> None:
    assert performance_profile([[0.5, 0.25], [1.0, 0.5]], [0.0, 0.25, 0.5, 1.0]).tolist() == [1.0, 0.75, 0.25, 0.0]


def test_probability_of_improvement_by_all_pairs() -> None:
    first, second = [[0.5, 0.7], [0.6, 0.1]], [[0.5, 0.8], [0.7, 0.7], [0.4, 0.0]]
    pairs = [
        fmean((b[task] > a[task]) + 0.5 * (b[task] == a[task]) for a in first for b in second) for task in range(2)
    ]
    assert probability_of_improvement(first, second) == pytest.approx(fmean(pairs))
    assert probability_of_improvement(second, first) == pytest.approx(1 - fmean(pairs))
    with pytest.raises(ValueError, match="2 and 1 tasks"):
        probability_of_improvement(first, [[0.5]])


def test_the_runs_of_each_task_are_drawn_by_themselves() -> None:
    """The interval is that of all 4 x 4 equally likely resamples of two runs of two tasks."""
    scores = np.array([[0.1, 0.5], [0.4, 0.8]])
    draws = [(a, b) for a in product(range(2), repeat=2) for b in product(range(2), repeat=2)]
    means = [fmean([*scores[list(a), 0], *scores[list(b), 1]]) for a, b in draws]
    low, high = stratified_interval(lambda drawn: drawn.mean(), scores, resamples=2000, level=0.7)
    assert float(low) == pytest.approx(np.quantile(means, 0.15), abs=1e-9)
    assert float(high) == pytest.approx(np.quantile(means, 0.85), abs=1e-9)
    again = stratified_interval(lambda drawn: drawn.mean(), scores, resamples=2000, level=0.7)
    assert (low, high) == again


def test_what_is_no_matrix_of_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="runs x tasks"):
        interquartile_mean([0.5, 0.6])
    with pytest.raises(ValueError, match="resamples=0"):
        stratified_interval(interquartile_mean, [[0.5]], resamples=0)
