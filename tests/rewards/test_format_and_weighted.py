"""The layout reward and sums of rewards."""

from __future__ import annotations

import asyncio

import pytest

from igrpo.rewards.base import RewardError
from igrpo.rewards.format import FormatReward
from igrpo.rewards.weighted import WeightedSum
from igrpo.types import Score
from tests.rewards.helpers import completion, question
from tests.rewards.test_base import Fixed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>a</think><answer>1</answer>", 1.0),
        (" <think>\na\n</think>\n\n<answer>\n1\n</answer>\n", 1.0),
        ("<think></think><answer></answer>", 1.0),
        ("<answer>1</answer><think>a</think>", 0.0),
        ("<think>a</think>", 0.0),
        ("<think>a</think><answer>1", 0.0),
        ("<think>a</think><answer>1</answer><answer>2</answer>", 0.0),
        ("<think>a<think></think></think><answer>1</answer>", 0.0),
        ("<think>a<answer>1</answer></think>", 0.0),
        ("<think>a</think> so <answer>1</answer>", 0.0),
        ("<think>a</think><answer>1</answer> done", 0.0),
        ("1", 0.0),
        ("", 0.0),
    ],
)
def test_format_wants_each_tag_once_and_in_order(text: str, value: float) -> None:
    (score,) = asyncio.run(FormatReward().score(question("1"), [completion(text)]))
    assert (score.value, score.correct, score.outcome) == (value, None, "right" if value else "wrong")


def fixed(*scores: Score) -> Fixed:
    return Fixed(list(scores))


def total(parts: list[tuple[str, Fixed, float]], count: int = 1) -> list[Score]:
    return asyncio.run(WeightedSum(parts).score(question("1"), [completion("1")] * count))


LAYOUT = Score(value=1.0, correct=None, outcome="right")


def test_a_sum_weighs_values_and_takes_known_correctness() -> None:
    judged = Score(value=1.0, correct=False, outcome="wrong", answer="7")
    (score,) = total([("format", fixed(LAYOUT), 0.25), ("math", fixed(judged), 2.0)])
    assert score.value == 0.25 * 1.0 + 2.0 * 1.0
    assert (score.correct, score.outcome, score.answer) == (False, "wrong", "7")
    assert dict(score.parts) == {"format": 1.0, "math": 1.0}


def test_a_missing_verdict_is_not_hidden_by_another_part() -> None:
    refused = Score(value=0.0, correct=None, outcome="refused")
    (score,) = total([("format", fixed(LAYOUT), 1.0), ("math", fixed(refused), 1.0)])
    assert (score.value, score.correct, score.outcome) == (1.0, None, "refused")


def test_the_first_judge_wins_and_order_of_completions_is_kept() -> None:
    right, wrong = Score(1.0, True, "right"), Score(0.0, False, "wrong")
    scores = total([("a", fixed(right, wrong), 1.0), ("b", fixed(wrong, right), -0.5)], count=2)
    assert [score.correct for score in scores] == [True, False]
    assert [score.value for score in scores] == [1.0, -0.5]


def test_a_part_that_breaks_the_contract_is_named() -> None:
    with pytest.raises(RewardError, match="'fixed' on question 'q1'"):
        total([("bad", fixed(Score(float("nan"), True, "right")), 1.0)])


@pytest.mark.parametrize("weights", [(1e308, 1.0), (1e308, -1e308), (1e10, 1.0)])
def test_a_sum_that_overflows_names_the_part_and_the_question(weights: tuple[float, float]) -> None:
    large = Score(1e12, True, "right")
    parts = [(name, fixed(large), weight) for name, weight in zip("ab", weights, strict=True)]
    with pytest.raises(RewardError, match=r"part 'a' of the weighted reward, on question 'q1': .* lower the weight"):
        total(parts)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([], "at least one part"),
        ([("a", Fixed([]), 1.0), ("a", Fixed([]), 1.0)], "a name of its own"),
        ([("a", Fixed([]), float("nan"))], "weight of 'a'=nan"),
    ],
)
def test_bad_parts_are_refused(parts: list[tuple[str, Fixed, float]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        WeightedSum(parts)


def test_closing_closes_every_part() -> None:
    closed: list[str] = []
    first, second = Fixed([]), Fixed([])
    first.close = lambda: closed.append("first")  # type: ignore[method-assign]
    second.close = lambda: closed.append("second")  # type: ignore[method-assign]
    WeightedSum([("a", first, 1.0), ("b", second, 1.0)]).close()
    assert closed == ["first", "second"]
