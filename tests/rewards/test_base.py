"""The contract of a reward: what breaks it is an error that names the reward and the question."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from igrpo.rewards.base import Reward, RewardError, checked_score
from igrpo.types import Question, Score
from tests.rewards.helpers import completion, question

GOOD = Score(value=0.5, correct=None, outcome="wrong")


class Fixed:
    """A reward that returns what it was given."""

    name = "fixed"

    def __init__(self, result: Any) -> None:
        self.result = result

    async def score(self, question: Any, completions: Any) -> Any:
        return self.result

    def close(self) -> None:
        pass


def run(result: Any, count: int = 1) -> tuple[Score, ...]:
    return asyncio.run(checked_score(Fixed(result), question("1"), [completion("1")] * count))


def test_a_good_result_passes_unchanged() -> None:
    assert isinstance(Fixed(None), Reward)
    assert run([GOOD, GOOD], count=2) == (GOOD, GOOD)
    assert run([GOOD, None], count=2) == (GOOD, None)  # no score could be had
    assert run([], count=0) == ()


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "returned None scores for 1"),
        ([], "returned 0 scores for 1"),
        ([GOOD, GOOD], "returned 2 scores for 1"),
        (iter([GOOD]), "scores for 1"),
        (["right"], "returned 'right' for completion 0"),
        ([1.0], "returned 1.0 for completion 0"),
        ([Score(value=float("nan"), correct=True, outcome="right")], "value nan"),
        ([Score(value=float("inf"), correct=True, outcome="right")], "value inf"),
        ([Score(value=float("-inf"), correct=True, outcome="right")], "value -inf"),
        ([Score(value=None, correct=True, outcome="right")], "value None"),  # type: ignore[arg-type]
        ([Score(value=True, correct=True, outcome="right")], "value True"),
        ([Score(value="1", correct=True, outcome="right")], "value '1'"),  # type: ignore[arg-type]
        ([Score(value=1.0, correct=True, outcome="maybe")], "outcome 'maybe'"),  # type: ignore[arg-type]
    ],
)
def test_a_broken_result_is_an_error_that_names_reward_and_question(result: Any, says: str) -> None:
    with pytest.raises(RewardError, match="reward 'fixed' on question 'q1'") as raised:
        run(result)
    assert says in str(raised.value)


def test_a_reward_that_raises_is_named_with_its_question() -> None:
    class Broken:
        name = "broken"

        async def score(self, question: Question, completions: object) -> list[Score]:
            raise KeyError("boom")

        def close(self) -> None: ...

    with pytest.raises(RewardError, match="reward 'broken' on question 'q7' raised KeyError: 'boom'"):
        asyncio.run(checked_score(Broken(), Question("q7", "", ""), []))


def test_numpy_numbers_are_numbers() -> None:
    class Numpy:
        name = "numpy"

        async def score(self, question: Question, completions: object) -> list[Score]:
            return [Score(np.float32(0.5), True, "right")]  # type: ignore[arg-type]

        def close(self) -> None: ...

    (score,) = asyncio.run(checked_score(Numpy(), Question("q", "", ""), [None]))  # type: ignore[list-item]
    assert type(score.value) is float
    assert score.value == 0.5
