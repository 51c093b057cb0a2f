"""iGRPO as a wrapper: it goes with every objective, which changes the loss alone, and no code asks which one it is."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import igrpo
from igrpo.config.composing.folders import choices
from igrpo.config.schema import RunConfig
from igrpo.training.module import IGRPOModule
from tests.composed import config as composed
from tests.training import small_run

OBJECTIVES = [choice.name for choice in choices("objective")]


@cache
def one_step(algorithm: str, objective: str) -> tuple[RunConfig, IGRPOModule]:
    """A real step of the composed algorithm over the composed objective."""
    config = composed(None, f"algorithm={algorithm}", f"objective={objective}", "completions_per_question=4")
    # two passes over two minibatches: with one update the ratio is 1, and several objectives are one
    module = small_run.make(
        config.algorithm, objective_changes=config.objective.model_dump(exclude={"name"}), epochs=2, minibatches=2
    )
    with TemporaryDirectory() as folder:
        small_run.fit(module, 1, Path(folder))
    return config, module


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_igrpo_trains_its_refinements_with_every_objective(objective: str) -> None:
    config, module = one_step("igrpo", objective)
    assert (config.algorithm.name, config.objective.name) == ("igrpo", objective)
    rollouts, (rows_S, *_) = small_run.kept(module).steps[1], small_run.kept(module).rows
    assert len(rows_S) == len(rollouts) == 3
    for rows, rollout in zip(rows_S, rollouts, strict=True):
        drafts, refined = rollout.rounds
        assert all(sample.context for sample in refined)
        assert {row.prompt_ids for row in rows} == {refined[0].prompt.token_ids} != {drafts[0].prompt.token_ids}
        assert [row.completion_ids for row in rows] == [sample.completion.token_ids for sample in refined]
    assert not small_run.same_weights(small_run.make(), module)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_the_objective_does_not_change_the_rollouts(algorithm: str, objective: str) -> None:
    rollouts = [small_run.kept(one_step(algorithm, name)[1]).steps[1] for name in ("grpo", objective)]
    assert rollouts[0] == rollouts[1]


def test_objectives_learn_different_things_from_the_same_samples() -> None:
    """Two that would give the same weights here would not be two (truncation masked or not is one of their settings)."""
    learnt = [one_step("igrpo", name)[1] for name in OBJECTIVES]
    for i, one in enumerate(learnt):
        for other in learnt[i + 1 :]:
            assert not small_run.same_weights(one, other)


@pytest.mark.parametrize("package", ["losses", "training", "algorithms"])
def test_no_code_of_the_step_asks_for_a_variants_name(package: str) -> None:
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
