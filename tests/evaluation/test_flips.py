"""Questions that flipped, and the sample that stands for a model."""

from __future__ import annotations

import pytest

from igrpo.evaluation.columns import by_question
from igrpo.evaluation.flips import flips, typical_sample
from igrpo.evaluation.samples import EvaluatedSample
from tests.evaluation.rows import row, rows


def questions(correct_QK: list[list[bool]]) -> dict[str, list[EvaluatedSample]]:
    return {of[0].question: of for of in by_question(rows(correct_QK))}


def test_a_majority_decides_and_half_is_none() -> None:
    first = questions([[True, True, False], [False] * 3, [True] * 3, [True] * 3, [False, False, True]])
    second = questions([[True, False], [True, True], [True, False], [True, True], [False, False]])
    found = flips(first, second)
    # q1: 0 against 1, lost; q2: 1 against a half, gained; q0: 2/3 against a half, gained; q3 and q4: as before
    assert [(flip.question, flip.gained) for flip in found] == [("q1", False), ("q2", True), ("q0", True)]
    assert (found[2].first_right, found[2].second_right) == pytest.approx((2 / 3, 1 / 2))
    assert (found[0].first.correct, found[0].second.correct) == (False, True)
    # a half is no majority, so the sample that stands for it is a wrong one
    assert (found[1].first.correct, found[1].second.correct) == (True, False)


def test_questions_that_only_one_has_are_left_out() -> None:
    first, second = questions([[True], [True]]), questions([[False], [False]])
    del second["q0"]
    assert [flip.question for flip in flips(first, second)] == ["q1"]
    assert flips(first, {}) == []


def test_typical_is_the_median_length_of_the_most_frequent_answer() -> None:
    samples = [
        row("a", 0, right=False, answer="5", tokens=1),
        row("a", 1, right=False, answer="7", tokens=9),
        row("a", 2, right=True, answer="3", tokens=2),
        row("a", 3, right=False, answer="7", tokens=4),
        row("a", 4, right=False, answer="7", tokens=30),
        row("a", 5, right=False, answer="7", tokens=5),
    ]
    assert typical_sample(samples, correct=False).index == 5  # lengths 4, 5, 9, 30
    assert typical_sample(samples, correct=True).index == 2
    with pytest.raises(ValueError, match="no sample is right"):
        typical_sample(samples[:2], correct=True)
