"""Groups of which the reward could score one completion or none: they have no baseline, and the run goes on."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from igrpo.metrics.alarms import Alarms
from igrpo.training.progress import ProgressCallback
from igrpo.training.rows import question_rows
from igrpo.types import Completion, Question, Sample, Score
from tests.metrics.test_alarms import CONFIG as ALARMS
from tests.rollouts import rollout, scored_samples
from tests.training.models import ADVANTAGE, IMITATION
from tests.training.small_run import ScriptedReward, fit, kept, make, weights


def answers(scored: int, unscored: int, number: int = 1) -> tuple[Sample, ...]:
    scores = [Score(1.0 + i, True, "right") for i in range(scored)]
    return scored_samples("answer", *scores, *[None] * unscored, number=number)


@pytest.mark.parametrize("advantage", [ADVANTAGE, IMITATION])
@pytest.mark.parametrize(("scored", "unscored"), [(1, 3), (0, 4)])
def test_one_score_alone_makes_no_rows(advantage: Any, scored: int, unscored: int) -> None:
    left, whole = answers(scored, unscored), answers(2, 2, number=2)
    assert question_rows(rollout(left, trained=[left]), advantage, mask_truncated=False) == []
    # another group of the question stays, without those that have no score
    rows = question_rows(rollout(left, whole, trained=[left, whole]), advantage, mask_truncated=False)
    assert [row.completion_ids for row in rows] == [sample.completion.token_ids for sample in whole[:2]]


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
    ids = [one.question.id for one in kept(whole).steps[1]]
    module = make(algorithm, FirstAlone(hit=lambda question: question.id == ids[0]))
    before = weights(module)
    fit(module, 2, tmp_path / "run")
    hit, *others = kept(module).steps[1]
    assert [[sample.score is not None for sample in each] for each in hit.rounds] == [
        [True, *[False] * (len(each) - 1)] for each in kept(whole).steps[1][0].rounds
    ]
    assert all(sample.score is not None for one in others for sample in one.samples)
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


@dataclass
class Silent(ScriptedReward):
    """Has no score for anything in its calls, counted from 1, that are ``hit``."""

    hit: Callable[[int], bool] = lambda call: True
    calls: int = 0

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Any]:
        scores = await super().score(question, completions)
        self.calls += 1
        return [None] * len(scores) if self.hit(self.calls) else list(scores)


def watched(algorithm: str, reward: ScriptedReward, folder: Path, **changes: Any) -> tuple[Any, Console, list[Any]]:
    """A run with alarms and progress: the module, what was printed, the alarms that went off."""
    module = make(algorithm, reward, steps=2, **changes)
    told: list[Any] = []
    module.alarms = Alarms(ALARMS, lambda name, words: told.append((name, words)))
    out = Console(file=io.StringIO(), force_terminal=False, width=120)
    fit(module, 2, folder, callbacks=[ProgressCallback(out, 2)])
    return module, out, told


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo", "critique_grpo", "self_verification"])
def test_a_step_without_any_score_is_reported_without_a_reward(
    algorithm: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module, out, told = watched(algorithm, Silent(), tmp_path)
    assert module.rollout_step == 2
    latest, first = module.latest, "draft" if algorithm == "igrpo" else "answer"
    assert not {name for name in latest if name.endswith(("reward_mean", "reward_std", "reward_best", "accuracy"))}
    assert latest["reward/outcome/unscored"] == latest[f"{first}/outcome/unscored"] == 1.0
    sampled = [sample.completion for one in kept(module).steps[2] for sample in one.of("answer", "draft")]
    assert latest[f"{first}/completions"] == len(sampled)
    assert latest[f"{first}/length_mean"] == pytest.approx(sum(len(c.token_ids) for c in sampled) / len(sampled))
    assert latest["alarm/entropy_collapse"] == 0.0
    assert "alarm/failed" not in latest
    assert told == []
    warned = [record.getMessage() for record in caplog.records if "could score none" in record.getMessage()]
    assert [words.partition(":")[0] for words in warned] == ["step 1", "step 2"]
    assert "reward 'scripted'" in warned[0]
    assert isinstance(out.file, io.StringIO)
    assert [line.split()[2:4] for line in out.file.getvalue().splitlines()] == [["no", "reward"]] * 2
    assert all(math.isfinite(value) for value in latest.values())


def test_only_the_refinements_lack_a_score(tmp_path: Path) -> None:
    module, out, _ = watched("igrpo", Silent(hit=lambda call: (call - 1) // 3 % 2 == 1), tmp_path)
    assert "draft/reward_mean" in module.latest
    assert "refinement/reward_mean" not in module.latest
    assert module.latest["refinement/completions"] == 3 * 2
    assert isinstance(out.file, io.StringIO)
    assert "no reward" in out.file.getvalue()  # of what is trained, and not that of the drafts


def test_the_score_of_a_verification_is_not_the_rewards(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module, out, _ = watched("self_verification", Silent(hit=lambda call: call > 3), tmp_path)
    assert any(sample.score for one in kept(module).steps[2] for sample in one.of("verification"))
    assert "step 2: reward 'scripted' could score none of its 6 completions" in caplog.text
    assert "step 1: reward" not in caplog.text
    assert isinstance(out.file, io.StringIO)
    assert "no reward" in out.file.getvalue().splitlines()[1]


def test_dynamic_sampling_of_nothing_but_silence(tmp_path: Path) -> None:
    module, _, _ = watched("grpo", Silent(), tmp_path, max_attempts=1)
    assert module.latest["dynamic/missing"] == 3
