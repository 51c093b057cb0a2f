"""Each condition of conf/condition, from its YAML to a real training step: what is sampled, and what gets gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo import assembly
from igrpo.training.batching import Row
from igrpo.training.update import Updater
from igrpo.types import Completion
from tests.composed import config as composed
from tests.training import small_run

#: (stage, trained, completions) of each group of a question, with four completions in the budget.
SAMPLED = {
    "grpo": [(1, True, 4)],
    "igrpo": [(1, False, 2), (2, True, 2)],
    "grpo_half": [(1, True, 2)],
    "bare": [(2, True, 4)],
    "best_of_n": [(1, True, 4)],
}
QUESTIONS = 3  # a step of small_run


def mixed(completion: Completion) -> float:
    """Right for about half of the answers of a random model."""
    return float(sum(completion.token_ids) % 2)


@pytest.fixture
def seen_rows(monkeypatch: pytest.MonkeyPatch) -> list[list[list[Row]]]:
    seen: list[list[list[Row]]] = []
    run = Updater.run

    def spy(self: Updater, questions_S: Any, *rest: Any) -> Any:
        seen.append(questions_S)
        return run(self, questions_S, *rest)

    monkeypatch.setattr(Updater, "run", spy)
    return seen


def trained(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, reward: Any, steps: int = 2) -> Any:
    config = composed(None, f"condition={name}", "completions_per_question=4")
    monkeypatch.setitem(small_run.ALGORITHMS, name, assembly.build_algorithm(config))
    goal = config.objective.model_dump(exclude={"name"})
    module = small_run.make(name, small_run.ScriptedReward(reward), objective_changes=goal)
    small_run.fit(module, steps, folder)
    return module


@pytest.mark.parametrize("name", SAMPLED)
def test_what_a_condition_samples_and_trains(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen_rows: list[list[list[Row]]]
) -> None:
    module = trained(name, tmp_path, monkeypatch, mixed)
    traces = [trace for step in small_run.kept(module).steps.values() for trace in step]
    for trace in traces:
        assert [(group.stage, group.trained, len(group.completions)) for group in trace.groups] == SAMPLED[name]
    assert module.budget.samples == 2 * QUESTIONS * (2 if name == "grpo_half" else 4)

    rows = [one for step in seen_rows for one in step]
    group_size = SAMPLED[name][-1][2]
    assert [len(one) for one in rows] == [group_size] * 2 * QUESTIONS
    for one, trace in zip(rows, traces, strict=True):
        assert [row.completion_ids for row in one] == [c.token_ids for c in trace.groups[-1].completions]
        if name == "best_of_n":
            right = [i for i, score in enumerate(trace.groups[-1].scores) if score.correct]
            assert [i for i, row in enumerate(one) if row.advantage] == right[:1]
            assert {row.advantage for row in one} <= {0.0, 1.0}
        else:
            assert sum(row.advantage for row in one) == pytest.approx(0, abs=1e-9)
    weighed = [row for one in rows for row in one if row.advantage]
    assert len(weighed) > 0
    assert module.budget.trained_tokens == sum(row.length for row in weighed)


@pytest.mark.parametrize(("name", "moves"), [("grpo", False), ("bare", False), ("best_of_n", True)])
def test_groups_that_are_all_right_teach_only_imitation(
    name: str, moves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = small_run.weights(small_run.make())
    module = trained(name, tmp_path, monkeypatch, lambda completion: 1.0, steps=1)
    assert any(not torch.equal(value, start[key]) for key, value in small_run.weights(module).items()) is moves
    assert module.latest["groups/zero_variance_share"] == 1.0


def test_the_control_without_drafts_measures_refinements_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare, grpo = (trained(name, tmp_path, monkeypatch, mixed, steps=1) for name in ("bare", "grpo"))
    measured = {key for key in bare.latest if key.startswith(("stage1/", "transfer/", "copy/", "drafts/"))}
    assert measured == set()
    names = {key.replace("stage1/", "stage2/") for key in grpo.latest}
    assert names == set(bare.latest)  # an A/A control: GRPO's measurements under the other stage's name
    questions = [[trace.question for trace in small_run.kept(m).steps[1]] for m in (bare, grpo)]
    prompts = [[trace.groups[0].prompt for trace in small_run.kept(m).steps[1]] for m in (bare, grpo)]
    assert questions[0] == questions[1]
    assert prompts[0] == prompts[1]
    tokens = [[c.token_ids for t in small_run.kept(m).steps[1] for c in t.groups[0].completions] for m in (bare, grpo)]
    assert tokens[0] != tokens[1]  # other sampling seeds
