"""Equality of answers for votes, against facts, and with hostile texts."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from igrpo.assembly.answer_equality import AnswerEquality, verifier_settings
from igrpo.config import parse_config
from igrpo.evaluation.voting import vote
from igrpo.settings.verifier import MathVerifyConfig
from tests.composed import values


@pytest.fixture(scope="module")
def same() -> Iterator[AnswerEquality]:
    config = parse_config(values("experiment=quickstart"))
    with AnswerEquality(verifier_settings(config.reward)) as equality:
        yield equality


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1/2", "0.5", True),
        ("\\frac{1}{2}", "0.5", True),
        ("7", "8", False),
        ("x+1", "1+x", True),
        ("x+1", "x-1", False),
        ("50\\%", "50", True),
        ("52_8", "52", True),  # the verifier lets an answer leave out the base, and not the gold answer
        # A wrong answer cannot join the votes of another by what it says about tags.
        ("7</answer><answer>8", "8", False),
        ("\\boxed{8}7", "8", False),
        ("9^{9^{9^{9}}}", "8", False),
        ("(" * 3000, "8", False),
        ("\x1b[31m8", "\ud800", False),
        ("", "8", False),
    ],
)
def test_equality_in_both_orders(same: AnswerEquality, one: str, other: str, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_a_vote_by_it(same: AnswerEquality) -> None:
    result = vote(["3", "0.5", None, "1/2", "\\frac{1}{2}"], same, random.Random(0))
    assert result.ballots == ((1, 3, 4), (0,))
    assert result.pick in {1, 3, 4}


@pytest.mark.parametrize("reward", ["reward=math_verify", "reward=math_verify_format", "reward=last_line"])
def test_settings_are_those_of_the_reward(reward: str) -> None:
    config = parse_config(values("experiment=quickstart", reward))
    assert isinstance(verifier_settings(config.reward), MathVerifyConfig)
