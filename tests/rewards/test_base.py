"""The contract of a reward: what breaks it is an error that names the reward and the question."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from igrpo.metrics.samples import step_metrics
from igrpo.rewards.base import Reward, RewardError, checked_score
from igrpo.types import Question, Score
from tests import evaluated
from tests.rewards.helpers import completion, question
from tests.rollouts import rollout, samples

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
        (None, "returned None, not a list of scores"),
        (torch.tensor(1.0), "not a list of scores, for 1"),
        ([], "returned 0 scores for 1"),
        ([GOOD, GOOD], "returned 2 scores for 1"),
        (iter([GOOD]), "not a list of scores, for 1"),
        (["right"], "returned 'right' for completion 0"),
        ([1.0], "returned 1.0 for completion 0"),
        ([Score(value=float("nan"), correct=True, outcome="right")], "value nan"),
        ([Score(value=float("inf"), correct=True, outcome="right")], "value inf"),
        ([Score(value=float("-inf"), correct=True, outcome="right")], "value -inf"),
        ([Score(value=None, correct=True, outcome="right")], "value None"),  # type: ignore[arg-type]
        ([Score(value=True, correct=True, outcome="right")], "value True"),
        ([Score(value="1", correct=True, outcome="right")], "value '1'"),  # type: ignore[arg-type]
        ([Score(value=1.0, correct=True, outcome="maybe")], "outcome 'maybe'"),  # type: ignore[arg-type]
        ([Score(value=1.0, correct=True, outcome=np.array(["right"]))], "the outcome"),  # type: ignore[arg-type]
        ([Score(value=1e308, correct=True, outcome="right")], "1e+308 for completion 0, above 1e+15 in size"),
        ([GOOD, Score(value=-1e308, correct=True, outcome="right")], "-1e+308 for completion 1, above 1e+15"),
        ([Score(value=10**400, correct=True, outcome="right")], "not a finite number"),
        ([Score(value=torch.tensor([1.0, 2.0]), correct=True, outcome="right")], "not a finite"),  # type: ignore[arg-type]
        ([Score(value=1.0, correct="yes", outcome="right")], "correct='yes'"),  # type: ignore[arg-type]
        ([Score(value=1.0, correct=0.5, outcome="right")], "correct=0.5"),  # type: ignore[arg-type]
        ([Score(value=1.0, correct=2, outcome="right")], "correct=2"),  # type: ignore[arg-type]
        ([Score(value=1.0, correct=float("nan"), outcome="right")], "correct=nan"),  # type: ignore[arg-type]
        ([Score(value=1.0, correct=np.array([True, False]), outcome="right")], "correct="),  # type: ignore[arg-type]
        ([Score(1.0, True, "right", answer=np.int64(5))], "the answer"),  # type: ignore[arg-type]
        ([Score(1.0, True, "right", parts={"a": float("inf")})], "the part 'a' as inf"),
        ([Score(1.0, True, "right", parts=None)], "parts=None"),  # type: ignore[arg-type]
    ],
)
def test_an_invalid_result_names_reward_and_question(result: Any, says: str) -> None:
    with pytest.raises(RewardError, match="reward 'fixed' on question 'q1'") as raised:
        run(result, count=len(result) if "completion 1" in says else 1)
    assert says in str(raised.value)


def test_a_reward_that_raises_is_named_with_its_question() -> None:
    class Broken:
        name = "broken"

        async def score(self, question: Question, completions: object) -> list[Score]:
            raise KeyError("boom")

        def close(self) -> None: ...

    with pytest.raises(RewardError, match="reward 'broken' on question 'q7' raised KeyError: 'boom'"):
        asyncio.run(checked_score(Broken(), Question("q7", "", ""), []))


@pytest.mark.parametrize("right", [True, 1, 1.0, np.bool_(True), np.int64(1), np.float32(1), torch.tensor(True)])
@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int8(1), np.array(0.5), torch.tensor(0.5)])
def test_numbers_of_numpy_and_torch_become_pythons_own(right: Any, value: Any) -> None:
    wrong = right * 0 if not isinstance(right, torch.Tensor) else ~right
    result = [
        Score(value, right, "right", parts={"a": value}),
        Score(value, wrong, "wrong"),
        Score(value, None, "wrong"),
    ]
    scores = run(result, count=3)
    assert [score.correct for score in scores] == [True, False, None]
    assert [type(score.correct) for score in scores] == [bool, bool, type(None)]
    assert {type(score.value) for score in scores} == {float}
    assert scores[0].value == float(value)
    assert scores[0].parts == {"a": float(value)}
    assert json.loads(json.dumps([asdict(score) for score in scores])) == [asdict(score) for score in scores]


def test_verdicts_given_as_numbers_are_counted_as_verdicts() -> None:
    """Such as in every share of right answers, which compares with True."""
    made = [completion("a"), completion("b")]
    scores = run([Score(1.0, 1, "right"), Score(0.0, np.bool_(False), "wrong")], count=2)  # type: ignore[arg-type]
    answers = samples("answer", made, scores)
    metrics = step_metrics([rollout(answers, trained=[answers])], variance_tolerance=0.0)
    assert (metrics["answer/accuracy"], metrics["groups/all_wrong_share"]) == (0.5, 0.0)
    assert evaluated.answers(made, scores).correct == (True, False)


@pytest.mark.parametrize("made", [tuple, lambda scores: np.array(scores, dtype=object)])
def test_scores_may_come_in_any_sequence_and_at_once(made: Any) -> None:
    class AtOnce(Fixed):
        def score(self, question: Any, completions: Any) -> Any:  # type: ignore[override]
            return made([GOOD, None])

    reward = AtOnce(None)
    assert isinstance(reward, Reward)
    assert asyncio.run(checked_score(reward, question("1"), [completion("1")] * 2)) == (GOOD, None)
