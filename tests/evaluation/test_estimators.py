"""Estimators against hand arithmetic, enumeration and simulated coverage."""

from __future__ import annotations

import random
from itertools import combinations
from statistics import fmean, pstdev

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from igrpo.evaluation.estimators import (
    accuracy_interval,
    clustered_interval,
    estimate_accuracy,
    majority_at_k,
    mean_at_k,
    pass_at_k,
)

rows = st.integers(1, 7).flatmap(
    lambda k: st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=1, max_size=6)
)


def test_mean_at_k() -> None:
    assert mean_at_k([[True, False], [True, True], [False, False]]) == pytest.approx((0.5 + 1 + 0) / 3)


def test_pass_at_k_by_hand() -> None:
    # n = 4, c = 1, k = 2: 1 - C(3, 2) / C(4, 2) = 1 - 3/6; c = 3: 1 - C(1, 2) / 6 = 1
    assert pass_at_k([[True, False, False, False]], k=2) == pytest.approx(0.5)
    assert pass_at_k([[True, False, False, False], [True, True, True, False]], k=2) == pytest.approx(0.75)


@given(rows, st.data())
def test_pass_at_k_is_the_mean_over_all_subsets(correct_QK: list[list[bool]], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(correct_QK[0])))
    expected = fmean(fmean(any(subset) for subset in combinations(row, k)) for row in correct_QK)
    assert pass_at_k(correct_QK, k) == pytest.approx(expected)


@given(rows)
def test_pass_at_1_is_the_mean(correct_QK: list[list[bool]]) -> None:
    assert pass_at_k(correct_QK, 1) == pytest.approx(mean_at_k(correct_QK))


@pytest.mark.parametrize("k", [0, 3])
def test_pass_at_k_needs_enough_samples(k: int) -> None:
    with pytest.raises(ValueError, match=f"k={k} .*there are 2"):
        pass_at_k([[True, False]], k)


@pytest.mark.parametrize(
    ("answers", "correct", "expected"),
    [
        (["7", "7", "5"], [True, True, False], 1.0),
        (["5", "7", "5"], [False, True, False], 0.0),
        (["7", "5"], [True, False], 1 / 2),  # a tie of two: in expectation
        (["7", "5", "5", "7", "4", "4"], [True, False, False, True, False, False], 1 / 3),
        ([None, None, "7"], [False, False, True], 1.0),  # no answer, no vote
        ([None, None], [False, False], 0.0),
        (["7", "7"], [True, False], 1 / 2),  # one of the checks failed
    ],
)
def test_majority(answers: list[str | None], correct: list[bool], expected: float) -> None:
    assert majority_at_k([answers], [correct]) == pytest.approx(expected)


def test_majority_is_a_mean_over_questions() -> None:
    assert majority_at_k([["7"], ["5"], ["5"], ["5"]], [[True], [False], [True], [False]]) == pytest.approx(1 / 2)


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """The two roots of (p - x)^2 = z^2 x (1 - x) / n."""
    a, b, c = 1 + z * z / n, -(2 * p + z * z / n), p * p
    root = (b * b - 4 * a * c) ** 0.5
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_interval_of_one_sample_each_is_wilson_on_questions() -> None:
    correct = [[True]] * 12 + [[False]] * 28
    # k = 1 leaves no choice: n = Q = 40; t at 39 degrees of freedom
    expected = wilson(0.3, 40, stats.t.ppf(0.975, 39))
    assert accuracy_interval(correct) == pytest.approx(expected)


def test_copies_of_one_answer_are_no_evidence() -> None:
    one = [[True]] * 12 + [[False]] * 28
    eight = [row * 8 for row in one]
    assert accuracy_interval(eight) == pytest.approx(accuracy_interval(one))


def test_effective_number_of_answers() -> None:
    # means 0, 1/2, 1/2, 1: p = 1/2, variance of means (1/4 + 1/4) / 3 = 1/6, of p: 1/24; n = (1/4) * 24 = 6, in [4, 8]
    correct = [[False, False], [True, False], [False, True], [True, True]]
    assert accuracy_interval(correct) == pytest.approx(wilson(0.5, 6, stats.t.ppf(0.975, 3)))


def test_questions_that_do_not_differ_count_each_sample() -> None:
    correct = [[True, False]] * 10  # no spread at all: n = Q k = 20
    assert accuracy_interval(correct) == pytest.approx(wilson(0.5, 20, stats.t.ppf(0.975, 9)))


def test_questions_that_hardly_differ_count_each_sample_once() -> None:
    # means 3/4 and 19 times 1/2: p (1 - p) / var(p) = 0.24984 / (1/4)^2 * 20^2 = 1599 answers; there are 80
    correct = [[True, False, True, True], *[[True, False, True, False]] * 19]
    p, n = (0.75 + 19 * 0.5) / 20, 20 * 4
    assert accuracy_interval(correct) == pytest.approx(wilson(p, n, stats.t.ppf(0.975, 19)))


@pytest.mark.parametrize("right", [1, 2, 3, 4])
def test_questions_that_each_answer_alike_count_once_each(right: int) -> None:
    # k copies of one answer: p (1 - p) / var(p) = Q - 1, one fewer than there are questions
    correct = [[True] * 3] * right + [[False] * 3] * (5 - right)
    assert accuracy_interval(correct) == pytest.approx(wilson(right / 5, 5, stats.t.ppf(0.975, 4)))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("questions", [1, 2, 3])
def test_few_questions_that_are_all_right_or_all_wrong(questions: int, samples: int) -> None:
    """Wilson's bounds at p of 0 and 1, in [0, 1] without rounding past it; a normal quantile for a single question."""
    quantile = stats.t.ppf(0.975, questions - 1) if questions > 1 else stats.norm.ppf(0.975)
    width = quantile**2 / (questions + quantile**2)
    low, high = accuracy_interval([[True] * samples] * questions)
    assert (low, high) == (pytest.approx(1 - width), 1.0)
    low, high = accuracy_interval([[False] * samples] * questions)
    assert (low, high) == (0.0, pytest.approx(width))


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.99])
def test_rounding_moves_no_bound_past_a_share(level: float) -> None:
    """If all answers are right, or all wrong, the bound at the edge is 1 or 0 for every number of questions."""
    for questions in range(1, 200):
        assert accuracy_interval([[True]] * questions, level)[1] == 1.0
        assert accuracy_interval([[False]] * questions, level)[0] == 0.0


@pytest.mark.parametrize("right", [True, False])
def test_all_alike_at_the_edge_is_not_certainty(right: bool) -> None:
    low, high = accuracy_interval([[right] * 8] * 30)
    # z^2 / (Q + z^2) with t at 29 degrees of freedom: the samples of a question say nothing on how alike they are
    width = 2.045**2 / (30 + 2.045**2)
    assert (low, high) == pytest.approx((1 - width, 1.0) if right else (0.0, width), abs=1e-3)


def test_a_single_question_still_has_an_interval() -> None:
    low, high = accuracy_interval([[True, False, True, True]])
    assert 0 <= low < 0.2
    assert 0.9 < high <= 1


@given(rows, st.floats(0.5, 0.99))
def test_interval_holds_the_mean_and_lies_in_range(correct_QK: list[list[bool]], level: float) -> None:
    low, high = accuracy_interval(correct_QK, level)
    assert 0.0 <= low <= mean_at_k(correct_QK) <= high <= 1.0
    assert low < high
    mirrored = accuracy_interval([[not right for right in row] for row in correct_QK], level)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_a_higher_level_is_wider() -> None:
    correct = [[True, False, True], [False, False, False], [True, True, True], [False, True, False]]
    narrow, wide = accuracy_interval(correct, 0.8), accuracy_interval(correct, 0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(
    ("questions", "samples", "p", "concentration"),
    [
        (30, 1, 0.5, None),  # all questions equally hard
        (40, 4, 0.3, None),
        (40, 4, 0.97, None),  # near the edge, where a plain t-interval on the means falls short
        (100, 8, 0.5, 2.0),  # difficulty spread evenly
        (60, 16, 0.3, 1.0),
        (200, 2, 0.8, 0.5),  # most questions nearly always right or nearly always wrong
    ],
)
def test_coverage_is_nominal(questions: int, samples: int, p: float, concentration: float | None) -> None:
    """95 % within 92 to 98 %: 800 draws have a standard error of 0.8 points."""
    rng, draws, hits = random.Random(20260209), 800, 0
    for _ in range(draws):
        hardness_Q = [
            p if concentration is None else rng.betavariate(p * concentration, (1 - p) * concentration)
            for _ in range(questions)
        ]
        low, high = accuracy_interval([[rng.random() < h for _ in range(samples)] for h in hardness_Q])
        hits += low <= p <= high
    assert 0.92 <= hits / draws <= 0.98


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=9))
def test_clusters_of_one_size_have_the_t_interval_of_their_means(values: list[list[float]]) -> None:
    means = [fmean(row) for row in values]
    assume(pstdev(means) > 1e-3)
    expected = stats.t.interval(0.9, len(means) - 1, fmean(means), stats.sem(means))
    assert clustered_interval([*values, []], 0.9) == pytest.approx(expected)
    assert clustered_interval([values[0]] * 5) is None
    assert clustered_interval(values[:1]) is None


def test_estimate_bundles_them() -> None:
    correct = [[True, False, True], [False, False, False]]
    estimate = estimate_accuracy(correct)
    assert (estimate.value, estimate.questions, estimate.samples) == (pytest.approx(1 / 3), 2, 3)
    assert (estimate.low, estimate.high) == accuracy_interval(correct, 0.95)


@pytest.mark.parametrize("correct_QK", [[], [[]], [[True], [True, False]]])
def test_shapes_that_make_no_sense(correct_QK: list[list[bool]]) -> None:
    for estimator in (mean_at_k, accuracy_interval, estimate_accuracy):
        with pytest.raises(ValueError, match="same number of samples"):
            estimator(correct_QK)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="level="):
        accuracy_interval([[True]], level)
