"""A group of which the reward could score one completion alone: it has no baseline, and the run goes on without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.training.batching import question_rows
from igrpo.types import Completion, Group, Prompt, Question, Score, Trace
from tests.training.models import ADVANTAGE, IMITATION
from tests.training.small_run import ScriptedReward, fit, kept, make, weights


def completion(*tokens: int) -> Completion:
    return Completion(tokens, "", (-1.0,) * len(tokens), None, None, "stop", 0)


def trained(scored: int, unscored: int) -> Group:
    scores = tuple(Score(1.0 + i, True, "right") for i in range(scored))
    left = tuple(completion(50 + i) for i in range(unscored))
    return Group(1, Prompt((1,)), tuple(completion(3 + i) for i in range(scored)), scores, trained=True, unscored=left)


@pytest.mark.parametrize("advantage", [ADVANTAGE, IMITATION])
@pytest.mark.parametrize(("scored", "unscored"), [(1, 3), (0, 4)])
def test_one_score_alone_makes_no_rows(advantage: Any, scored: int, unscored: int) -> None:
    left, whole = trained(scored, unscored), trained(2, 2)
    question = Question("q", "", "")
    assert question_rows(Trace(question, (left,)), advantage, mask_truncated=False) == []
    # another group of the question stays, without those that have no score
    rows = question_rows(Trace(question, (left, whole)), advantage, mask_truncated=False)
    assert [row.completion_ids for row in rows] == [(3,), (4,)]


@dataclass
class FirstAlone(ScriptedReward):
    """Of the questions that are ``hit``, each group's first completion alone has a score."""

    hit: Callable[[Question], bool] = lambda question: True

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Any]:
        scores = await super().score(question, completions)
        return [score if i == 0 or not self.hit(question) else None for i, score in enumerate(scores)]


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_the_run_goes_on_without_such_a_question(algorithm: str, tmp_path: Path) -> None:
    whole = make(algorithm)
    fit(whole, 1, tmp_path / "whole")
    ids = [trace.question.id for trace in kept(whole).steps[1]]
    module = make(algorithm, FirstAlone(hit=lambda question: question.id == ids[0]))
    before = weights(module)
    fit(module, 2, tmp_path / "run")
    hit, *others = kept(module).steps[1]
    assert [(len(group.completions), len(group.unscored)) for group in hit.groups] == [
        (1, len(group.completions) - 1) for group in kept(whole).steps[1][0].groups
    ]
    assert all(not group.unscored for trace in others for group in trace.groups)
    assert module.rollout_step == 2
    assert math.isfinite(module.latest["train/loss"])
    assert any(not torch.equal(value, weights(module)[name]) for name, value in before.items())
    assert module.budget.samples == 2 * 3 * 4, "what has no score was sampled, and is paid for"


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_a_step_of_nothing_else_moves_nothing(algorithm: str, tmp_path: Path) -> None:
    module = make(algorithm, FirstAlone())
    before = weights(module)
    fit(module, 2, tmp_path)
    assert module.rollout_step == 2
    assert all(torch.equal(value, weights(module)[name]) for name, value in before.items())
    assert module.budget.trained_tokens == 0
    assert all(math.isfinite(value) for value in module.latest.values())
