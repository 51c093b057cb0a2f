"""Counts and metrics of an evaluation, and results that it refuses to report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from igrpo.evaluation.result import EVALUATION_METRIC_DOCS
from igrpo.rewards.base import RewardError
from igrpo.types import Completion, Outcome, Question, Score
from tests.evaluation.fakes import QUESTIONS, DigitEngine, EqualityReward, run, token


def test_what_is_counted() -> None:
    result = run(DigitEngine())
    assert (result.answer_entropy, result.refinement_entropy) == (1.0, 2.0)
    assert (result.length_mean, result.truncated_share) == (2.0, 0.0)
    assert result.generated_tokens == 2 * 2 * (4 + 1 + 4)  # two tokens an answer, two questions
    assert result.outcomes["right"] == result.single_shot.value
    assert sum(result.outcomes.values()) == pytest.approx(1.0)
    ones = sum(token(q.id, 1, j) == "1" for q in QUESTIONS for j in range(4))
    assert result.draft_cut_share == ones / 8
    passed = [any(q.single_shot) for q in result.per_question]
    assert result.pass_at_k == sum(passed) / 2


def test_metric_names_are_documented_and_fit_mlflow() -> None:
    questions = [Question(str(i), str(1 + i % 4), str(1 + i % 4)) for i in range(12)]
    metrics = run(DigitEngine(), oracle_drafts=2, questions=questions).metrics("eval/dev")
    names = {name.removeprefix("eval/dev/") for name in metrics}
    assert names == {name for name in EVALUATION_METRIC_DOCS if not name.startswith("test_time/")}
    assert all(re.fullmatch(r"[A-Za-z0-9_\-. /]+", name) for name in metrics)
    assert all(isinstance(value, float) for value in metrics.values())


def test_metrics_carry_each_value_under_its_own_name() -> None:
    result = run(DigitEngine(), oracle_drafts=2)
    metrics = result.metrics()
    for name in ("single_shot", "greedy", "draft_conditioned", "draft_conditioned_oracle"):
        estimate = asdict(result)[name]
        got = [metrics[f"eval/{name}/{key}"] for key in ("accuracy", "low", "high")]
        assert got == [estimate["value"], estimate["low"], estimate["high"]]


@dataclass
class FixedReward(EqualityReward):
    """Reward that gives every completion the same score."""

    correct: bool | None = None
    outcome: Outcome = "wrong"

    def one(self, question: Question, text: str) -> Score:
        return Score(0.0, self.correct, self.outcome)


@dataclass
class Unscored(EqualityReward):
    """Has no score for the refinements, or for anything."""

    refinements_only: bool = False
    calls: int = 0

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Any]:
        self.calls += 1
        silent = not self.refinements_only or self.calls > 2 * len(QUESTIONS)
        return [None] * len(completions) if silent else list(await super().score(question, completions))


def test_nothing_scored_is_no_accuracy_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    result = run(DigitEngine(), reward=Unscored(), oracle_drafts=2)
    metrics = result.metrics()
    assert not {name for name in metrics if name.endswith(("accuracy", "low", "high", "at_k"))}
    assert metrics["eval/outcome/unscored"] == 1.0
    assert metrics["eval/single_shot/length_mean"] == 2.0
    assert (result.single_shot, result.pass_at_k, result.draft_conditioned) == (None, None, None)
    assert {(q.single_shot, q.greedy, q.draft_conditioned) for q in result.per_question} == {((), None, ())}
    assert "'equality' could score none of the 8" in caplog.text


def test_a_part_without_a_score_has_no_accuracy_alone(caplog: pytest.LogCaptureFixture) -> None:
    result, whole = run(DigitEngine(), reward=Unscored(refinements_only=True)), run(DigitEngine())
    assert (result.single_shot, result.greedy) == (whole.single_shot, whole.greedy)
    assert result.draft_conditioned is None
    assert all(question.draft_conditioned == () for question in result.per_question)
    assert caplog.text == ""


def test_a_failed_check_counts_as_not_right() -> None:
    result = run(DigitEngine(), reward=FixedReward(correct=None, outcome="timed_out"))
    assert result.single_shot.value == 0.0
    assert result.metrics()["eval/outcome/timed_out"] == 1.0
    assert result.majority_at_k is None, "no answer was extracted, so nothing could vote"
    assert "eval/single_shot/majority_at_k" not in result.metrics()


def test_a_reward_without_verdicts_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'equality' left Score\.correct unknown on all 8"):
        run(DigitEngine(), reward=FixedReward(correct=None, outcome="wrong"))


def test_a_broken_reward_is_named_and_not_wrapped_in_a_group() -> None:
    class Short(EqualityReward):
        async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
            return []

    with pytest.raises(RewardError, match=r"'equality' on question '[ab]' returned 0 scores"):
        run(DigitEngine(), reward=Short())
