"""Edit distance against the textbook dynamic program, and what counts as a completion's content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.metrics.similarity import edit_distance, text_similarity
from igrpo.types import Completion, FinishReason

tokens = st.lists(st.integers(0, 3), max_size=80)


def naive_distance(first: list[int], second: list[int]) -> int:
    """Wagner and Fischer's table, row by row."""
    above = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        row = [i]
        for j, b in enumerate(second, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


def made_of(ids: str | list[int], finish: FinishReason = "length") -> Completion:
    token_ids = tuple(map(ord, ids)) if isinstance(ids, str) else tuple(ids)
    zeros = (0.0,) * len(token_ids)
    return Completion(token_ids, "", zeros, zeros, zeros, finish, policy_version=0)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("", "", 0), ("flaw", "lawn", 2), ("ab", "ba", 2)],
)
def test_known_distances(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance


@given(tokens, tokens)
def test_equals_the_textbook_table(first: list[int], second: list[int]) -> None:
    assert edit_distance(first, second) == naive_distance(first, second)


def test_similarity_is_normalised_by_the_longer() -> None:
    # kitten -> sitting: 3 edits, 7 tokens: 1 - 3/7
    assert text_similarity(made_of("kitten"), made_of("sitting")) == pytest.approx(4 / 7)
    assert text_similarity(made_of(""), made_of("abc")) == 0.0
    assert text_similarity(made_of(""), made_of("")) == 1.0


def test_the_stop_token_is_no_likeness() -> None:
    # Both end with the stop token 2 and share nothing else.
    assert text_similarity(made_of([5, 6, 2], "stop"), made_of([7, 8, 2], "stop")) == 0.0
    # A truncated text has no stop token to take away.
    assert text_similarity(made_of([5, 6]), made_of([5, 6, 2], "stop")) == 1.0


def test_only_the_first_tokens_are_compared() -> None:
    assert text_similarity(made_of([1, 2, 3, 4]), made_of([1, 2, 9, 9]), max_tokens=2) == 1.0
    assert text_similarity(made_of([1, 2, 3, 4]), made_of([1, 2, 9, 9]), max_tokens=4) == 0.5
