"""The selection rules, their ties, and Proposition 3.1 of the paper on the real code."""

from __future__ import annotations

import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.algorithms.selection import RULES, Selection, best, choose, first, none, random_draft, worst, wrong
from igrpo.types import Score
from tests.algorithms.fakes import completion, score

DRAFTS = [completion("a", tokens=3), completion("b", tokens=1), completion("c", tokens=5), completion("d", tokens=2)]


def rng() -> random.Random:
    return random.Random(0)


def test_best_and_worst_pick_the_extremes() -> None:
    scores = [score(0.2), score(0.9), score(0.5), score(0.0)]
    assert best(scores, DRAFTS, rng(), "random") == 1
    assert worst(scores, DRAFTS, rng(), "random") == 3


@pytest.mark.parametrize(("ties", "expected"), [("first", 0), ("shortest", 1), ("longest", 2)])
def test_ties_go_by_the_rule(ties: str, expected: int) -> None:
    assert best([score(1.0)] * 4, DRAFTS, rng(), ties) == expected  # type: ignore[arg-type]


def test_random_ties_reach_every_tied_draft_and_no_other() -> None:
    scores = [score(1.0), score(0.0), score(1.0), score(1.0)]
    generator = rng()
    assert {best(scores, DRAFTS, generator, "random") for _ in range(200)} == {0, 2, 3}


def test_of_equal_rewards_the_correct_draft_is_selected() -> None:
    # accuracy and format of weight 1 each: right without format, wrong with format
    scores = [score(1.0, correct=False), score(1.0, correct=True), score(1.0, correct=False), score(0.0, correct=False)]
    assert all(best(scores, DRAFTS, random.Random(i), "random") == 1 for i in range(20))
    assert worst([score(1.0, correct=True), score(1.0, correct=False)], DRAFTS[:2], rng(), "first") == 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_draft_without_a_verdict_ties_with_a_wrong_one(value: float) -> None:
    unknown, right, false = Score(value, None, "crashed"), score(value, correct=True), score(value, correct=False)
    for seed in range(20):
        assert best([unknown, right, unknown], DRAFTS[:3], random.Random(seed), "random") == 1
        assert worst([right, unknown, right], DRAFTS[:3], random.Random(seed), "random") == 1
    for rule in (best, worst):
        generator = rng()
        assert {rule([unknown, false], DRAFTS[:2], generator, "random") for _ in range(50)} == {0, 1}


def test_the_other_rules() -> None:
    scores = [score(0.0), score(1.0), score(0.0), score(0.0)]
    assert first(scores, DRAFTS, rng(), "random") == 0
    assert none(scores, DRAFTS, rng(), "random") is None
    generator = rng()
    assert {random_draft(scores, DRAFTS, generator, "random") for _ in range(200)} == {0, 1, 2, 3}
    assert set(RULES) == {"best", "random", "worst", "first", "wrong", "none"}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 2**31))
def test_best_is_never_beaten(values: list[float], seed: int) -> None:
    scores = [score(v) for v in values]
    drafts = [completion("x") for _ in values]
    assert values[best(scores, drafts, random.Random(seed), "random")] == max(values)
    assert values[worst(scores, drafts, random.Random(seed), "random")] == min(values)


@pytest.mark.parametrize("p", [0.1, 0.37, 0.8])
@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_proposition_3_1(p: float, n: int) -> None:
    """E[R(best)] = 1 - (1 - p)^N for N independent drafts with a binary reward of success probability p."""
    generator, trials, total = random.Random(f"{p}-{n}"), 4000, 0.0
    drafts = [completion("x") for _ in range(n)]
    for _ in range(trials):
        scores = [score(float(generator.random() < p)) for _ in range(n)]
        total += scores[best(scores, drafts, generator, "random")].value
    expected = 1 - (1 - p) ** n
    deviation = (expected * (1 - expected) / trials) ** 0.5
    assert abs(total / trials - expected) <= 4 * deviation + 1e-9


def test_wrong_selects_the_best_wrong_draft_or_else_the_best() -> None:
    assert wrong([score(1.0), score(0.2, correct=False), score(0.4, correct=False)], DRAFTS[:3], rng(), "first") == 2
    assert wrong([score(0.5), score(1.0)], DRAFTS[:2], rng(), "first") == 1  # all right
    unknown = [Score(0.9, None, "crashed"), score(0.0, correct=False)]
    assert wrong(unknown, DRAFTS[:2], rng(), "first") == 1  # no verdict is not wrong


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=6), st.integers(1, 7), st.sampled_from(list(RULES))
)
def test_choosing_k_is_choosing_again_among_the_rest(rewards: list[float], k: int, rule: str) -> None:
    scores, drafts = [score(value) for value in rewards], [completion(str(i)) for i in range(len(rewards))]
    chosen = choose(k, RULES[rule], scores, drafts, rng=rng(), ties="first")
    assert len(chosen) == len(set(chosen)) == (0 if rule == "none" else min(k, len(rewards)))
    if rule == "best":
        assert [rewards[i] for i in chosen] == sorted(rewards, reverse=True)[: len(chosen)]
    if rule != "none":
        assert chosen[0] == RULES[rule](scores, drafts, rng(), "first")  # one draft is chosen as ever


def test_every_setting_value_has_its_rule() -> None:
    assert RULES.keys() == set(get_args(Selection))
