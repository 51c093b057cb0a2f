"""iGRPO as a wrapper: it goes with every objective, which changes the loss alone, and no code asks which one it is."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

import igrpo
from igrpo.config.composing.folders import choices
from igrpo.config.schema import RunConfig
from igrpo.training.batching import Row
from igrpo.training.module import IGRPOModule
from igrpo.training.update import Updater
from tests.composed import config as composed
from tests.training import small_run

OBJECTIVES = [choice.name for choice in choices("objective")]


@cache
def one_step(algorithm: str, objective: str) -> tuple[RunConfig, IGRPOModule, list[list[Row]]]:
    """A real step of the composed algorithm over the composed objective: the module, and the rows that it trained on."""
    config = composed(None, f"algorithm={algorithm}", f"objective={objective}", "completions_per_question=4")
    seen: list[Any] = []
    run = Updater.run

    def spy(self: Updater, questions_S: Any, *rest: Any) -> Any:
        seen.append(questions_S)
        return run(self, questions_S, *rest)

    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(Updater, "run", spy)
        # two passes over two minibatches: with one update the ratio is 1, and several objectives are one
        module = small_run.make(
            config.algorithm, objective_changes=config.objective.model_dump(exclude={"name"}), epochs=2, minibatches=2
        )
        small_run.fit(module, 1, Path(folder))
    return config, module, seen[0]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_igrpo_trains_its_refinements_with_every_objective(objective: str) -> None:
    config, module, rows_S = one_step("igrpo", objective)
    assert (config.algorithm.name, config.objective.name) == ("igrpo", objective)
    rollouts = small_run.kept(module).steps[1]
    assert len(rows_S) == len(rollouts) == 3
    for rows, rollout in zip(rows_S, rollouts, strict=True):
        drafts, refined = rollout.rounds
        assert all(sample.context for sample in refined)
        assert {row.prompt_ids for row in rows} == {refined[0].prompt.token_ids} != {drafts[0].prompt.token_ids}
        assert [row.completion_ids for row in rows] == [sample.completion.token_ids for sample in refined]
    start = small_run.weights(small_run.make())
    assert any(not torch.equal(value, start[key]) for key, value in small_run.weights(module).items())


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_what_is_sampled_shown_and_scored_is_the_same_under_every_objective(algorithm: str, objective: str) -> None:
    rollouts = [small_run.kept(one_step(algorithm, name)[1]).steps[1] for name in ("grpo", objective)]
    assert rollouts[0] == rollouts[1]


def test_objectives_learn_different_things_from_the_same_samples() -> None:
    """Two that would give the same weights here would not be two (truncation masked or not is one of their settings)."""
    learnt = [small_run.weights(one_step("igrpo", name)[1]) for name in OBJECTIVES]
    for i, one in enumerate(learnt):
        for other in learnt[i + 1 :]:
            assert any(not torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("package", ["losses", "training", "algorithms"])
def test_no_code_of_the_step_asks_for_the_name_of_an_algorithm_or_an_objective(package: str) -> None:
    """Which is chosen is decided once, by the settings."""
    own = {"registry.py"}  # the list of algorithms
    files = [path for path in (Path(igrpo.__file__).parent / package).glob("*.py") if path.name not in own]
    assert len(files) > 3
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "name":
                assert ast.unparse(node.value).rpartition(".")[2].strip("_") not in {"algorithm", "objective"}, path
            imported = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            assert not {"GRPO", "IGRPO", "CritiqueGRPO", "SelfVerification", "AlgorithmConfig"} & set(imported), path
