"""Each condition of conf/condition, from its YAML to a real training step: what is sampled, and what gets gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from igrpo.types import scores
from tests.composed import config as composed
from tests.rollouts import shape
from tests.training import small_run
from tests.training.small_run import mixed, rollouts_of, same_weights

#: (role, trained, samples) of each round of a question, with four completions in the budget.
SAMPLED = {
    "grpo": [("answer", True, 4)],
    "igrpo": [("draft", False, 2), ("refinement", True, 2)],
    "grpo_half": [("answer", True, 2)],
    "bare": [("answer", True, 4)],
    "best_of_n": [("answer", True, 4)],
}
QUESTIONS = 3  # a step of small_run


def trained(name: str, folder: Path, reward: Any, steps: int = 2) -> Any:
    config = composed(None, f"condition={name}", "completions_per_question=4")
    goal = config.objective.model_dump(exclude={"name"})
    module = small_run.make(config.algorithm, small_run.ScriptedReward(reward), objective_changes=goal)
    small_run.fit(module, steps, folder)
    return module


@pytest.mark.parametrize("name", SAMPLED)
def test_what_a_condition_samples_and_trains(name: str, tmp_path: Path) -> None:
    module = trained(name, tmp_path, mixed)
    rollouts = rollouts_of(module)
    for rollout in rollouts:
        assert shape(rollout) == SAMPLED[name]
    assert module.budget.samples == 2 * QUESTIONS * (2 if name == "grpo_half" else 4)

    rows = [one for step in small_run.kept(module).rows for one in step]
    group_size = SAMPLED[name][-1][2]
    assert [len(one) for one in rows] == [group_size] * 2 * QUESTIONS
    for one, rollout in zip(rows, rollouts, strict=True):
        assert [row.completion_ids for row in one] == [sample.completion.token_ids for sample in rollout.rounds[-1]]
        if name == "best_of_n":
            right = [i for i, score in enumerate(scores(rollout.rounds[-1])) if score.correct]
            assert [i for i, row in enumerate(one) if row.advantage] == right[:1]
            assert {row.advantage for row in one} <= {0.0, 1.0}
        else:
            assert sum(row.advantage for row in one) == pytest.approx(0, abs=1e-9)
    weighed = [row for one in rows for row in one if row.advantage]
    assert len(weighed) > 0
    assert module.budget.trained_tokens == sum(row.length for row in weighed)


@pytest.mark.parametrize(("name", "moves"), [("grpo", False), ("bare", False), ("best_of_n", True)])
def test_groups_that_are_all_right_teach_only_imitation(name: str, moves: bool, tmp_path: Path) -> None:
    start = small_run.make()
    module = trained(name, tmp_path, lambda completion: 1.0, steps=1)
    assert same_weights(start, module) is not moves
    assert module.latest["groups/zero_variance_share"] == 1.0


def test_the_control_without_drafts_is_measured_as_grpo_is(tmp_path: Path) -> None:
    bare, grpo = (trained(name, tmp_path, mixed, steps=1) for name in ("bare", "grpo"))
    assert set(bare.latest) == set(grpo.latest)  # an A/A control
    samples = [[sample for one in small_run.kept(m).steps[1] for sample in one.samples] for m in (bare, grpo)]
    questions = [[one.question for one in small_run.kept(m).steps[1]] for m in (bare, grpo)]
    assert questions[0] == questions[1]
    assert [one.prompt for one in samples[0]] == [one.prompt for one in samples[1]]
    tokens = [[one.completion.token_ids for one in each] for each in samples]
    assert tokens[0] != tokens[1]  # other sampling seeds
