"""The vote among samples: by hand, and what must not matter."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.evaluation.voting import vote

HALVES = {"1/2", "0.5", "2/4"}


def same(one: str, other: str) -> bool:
    return one == other or {one, other} <= HALVES


def test_by_hand() -> None:
    # 7 has the most votes of one spelling (2), one half the most of all (3, in three spellings); 9 has one
    answers = ["7", "1/2", None, "0.5", "9", "7", "2/4"]
    result = vote(answers, same, random.Random(0))
    assert result.ballots == ((1, 3, 6), (0, 5), (4,))
    picks = Counter(vote(answers, same, random.Random(seed)).pick for seed in range(300))
    assert picks.keys() == {1, 3, 6}
    assert min(picks.values()) > 60


def test_ties_are_broken_by_the_seed() -> None:
    answers = ["a", "b", "b", "a", "c"]
    picks = [vote(answers, same, random.Random(seed)).pick for seed in range(200)]
    assert picks == [vote(answers, same, random.Random(seed)).pick for seed in range(200)]
    counts = Counter(answers[pick] for pick in picks)
    assert counts.keys() == {"a", "b"}
    assert min(counts.values()) > 60
    # between the answers first: two samples against two, though one answer's samples stand first
    assert set(picks) == {0, 1, 2, 3}


def test_no_answer_is_no_vote() -> None:
    assert vote([None, None, "x"], same, random.Random(0)).pick == 2
    nobody = [vote([None] * 3, same, random.Random(seed)) for seed in range(50)]
    assert all(result.ballots == () for result in nobody)
    assert {result.pick for result in nobody} == {0, 1, 2}
    with pytest.raises(ValueError, match="no samples to choose from"):
        vote([], same, random.Random(0))


@given(st.lists(st.sampled_from(["a", "b", "c", "1/2", "0.5", None]), min_size=1, max_size=9), st.integers(0, 99))
def test_the_pick_has_a_most_frequent_answer(answers: list[str | None], seed: int) -> None:
    result = vote(answers, same, random.Random(seed))
    counts = Counter("1/2" if answer in HALVES else answer for answer in answers if answer is not None)
    assert sorted(map(len, result.ballots), reverse=True) == sorted(counts.values(), reverse=True)
    assert sorted(i for ballot in result.ballots for i in ballot) == [i for i, a in enumerate(answers) if a is not None]
    if counts:
        picked = answers[result.pick]
        assert picked is not None
        assert counts["1/2" if picked in HALVES else picked] == max(counts.values())
