"""Majority@k and agreement against all subsets and pairs."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.evaluation.answer_groups import AnswerGroups, group_answers
from igrpo.evaluation.estimators import majority_at_k
from igrpo.evaluation.majority import agreement, consistency, majority_curve

samples = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", None]), st.booleans()), min_size=1, max_size=7)


def grouped(answers: list[str | None], correct: list[bool]) -> AnswerGroups:
    (groups,) = group_answers([answers], [correct], lambda one, other: one == other)
    return groups


def brute_force(answers: list[str | None], correct: list[bool], k: int) -> float:
    """Every subset of k samples votes; an answer is right as often as its samples are."""
    accuracy = {a: fmean(c for b, c in zip(answers, correct, strict=True) if a == b) for a in answers}

    def one(subset: tuple[int, ...]) -> float:
        votes = Counter(answers[i] for i in subset if answers[i] is not None)
        most = max(votes.values(), default=0)
        return fmean(accuracy[a] for a in votes if votes[a] == most) if votes else 0.0

    return fmean(map(one, combinations(range(len(answers)), k)))


@settings(deadline=None)
@given(samples)
def test_majority_is_the_mean_over_all_subsets(drawn: list[tuple[str | None, bool]]) -> None:
    answers, correct = [a for a, _ in drawn], [c for _, c in drawn]
    curve = majority_curve(grouped(answers, correct))
    assert curve == pytest.approx([brute_force(answers, correct, k) for k in range(1, len(drawn) + 1)])
    assert curve[-1] == pytest.approx(majority_at_k([answers], [correct]))


def test_majority_by_hand() -> None:
    # a a b (a right): one of three 2/3; pairs: aa 1, ab and ab a tie of two each: (1 + 1/2 + 1/2) / 3; all: a wins
    groups = grouped(["a", "a", "b"], [True, True, False])
    assert majority_curve(groups) == pytest.approx([2 / 3, 2 / 3, 1.0])
    # a sample without an answer does not vote: with one of two samples it is a vote of none, or of the right answer
    assert majority_curve(grouped(["a", None], [True, False])) == pytest.approx([1 / 2, 1.0])
    assert majority_curve(grouped([None, None], [False, False])).tolist() == [0.0, 0.0]


def test_majority_of_many_samples() -> None:
    # 40 right, 24 of one wrong answer, votes of 3: P(2 or 3 right) by the hypergeometric distribution
    groups = AnswerGroups((40, 24), (40, 0), 0)
    right = (40 * 39 * 38 + 3 * 40 * 39 * 24) / (64 * 63 * 62)
    assert majority_curve(groups)[2] == pytest.approx(right)
    assert majority_curve(groups)[63] == 1.0


@settings(deadline=None)
@given(samples)
def test_agreement_is_the_share_of_equal_pairs(drawn: list[tuple[str | None, bool]]) -> None:
    answers, correct = [a for a, _ in drawn], [c for _, c in drawn]
    groups = grouped(answers, correct)
    votes = Counter(a for a in answers if a is not None)
    assert consistency(groups) == pytest.approx(max(votes.values(), default=0) / len(answers))
    if len(answers) > 1:
        assert agreement(groups) == pytest.approx(fmean(a == b is not None for a, b in combinations(answers, 2)))
    else:
        with pytest.raises(ValueError, match="agreement needs at least 2"):
            agreement(groups)


def test_equal_answers_are_grouped_and_counted() -> None:
    halves = {"1/2", "0.5"}
    answers = [["1/2", "3", "0.5", None], ["7", "7", "8", "9"]]
    correct = [[True, False, True, False], [False, False, True, False]]
    first, second = group_answers(answers, correct, lambda one, other: one == other or {one, other} <= halves)
    assert first == AnswerGroups((2, 1), (2, 0), 1)
    assert second == AnswerGroups((2, 1, 1), (0, 1, 0), 0)
    assert (first.samples, second.samples) == (4, 4)


def test_resampling_keeps_the_shares() -> None:
    groups = AnswerGroups((5, 2), (4, 0), 1)
    rng = np.random.default_rng(0)
    drawn = [groups.resampled(rng) for _ in range(2000)]
    assert {one.samples for one in drawn} == {8}
    assert fmean(sum(one.right) for one in drawn) == pytest.approx(4, abs=0.15)
    assert fmean(one.blank for one in drawn) == pytest.approx(1, abs=0.1)
    # of 8 draws, none from the 2 of 8: (6/8)^8 = 0.1, the groups are one fewer then; or all from there and blank
    assert fmean(len(one.sizes) < 2 for one in drawn) == pytest.approx((6 / 8) ** 8 + (3 / 8) ** 8, abs=0.03)
