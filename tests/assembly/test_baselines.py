"""Critique-GRPO and Self-Verification, from their YAML to real steps: prompts, rows, samples, and an exact resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.settings.importance_weights import PolicyShapingConfig
from igrpo.training.module import IGRPOModule
from igrpo.training.rows import Row
from igrpo.types import Completion, scored
from tests.composed import config as composed
from tests.gloo import in_processes
from tests.rollouts import shape, values
from tests.training import small_run
from tests.training.small_run import rollouts_of

QUESTIONS = 3  # a step of small_run


def mixed(completion: Completion) -> float:
    """Right for about a quarter of the answers of a random model."""
    return float(sum(completion.token_ids) % 4 == 0)


def made(name: str, *changes: str, total: int = 4) -> IGRPOModule:
    config = composed(None, f"condition={name}", f"completions_per_question={total}", *changes)
    goal = config.objective.model_dump(exclude={"name"})
    reward = small_run.ScriptedReward(mixed)
    return small_run.make(config.algorithm, reward, objective_changes=goal, total=total)


def rows_of(module: IGRPOModule) -> list[list[Row]]:
    """The rows of each question, as they went into the update."""
    return [rows for step in small_run.kept(module).rows for rows in step]


def text(prompt: tuple[int, ...]) -> str:
    return str(small_run.TOKENIZER.decode(prompt))


def visible(completion: Completion) -> str:
    """As small_run's prompts show it: without special tokens, and with its middle cut out beyond eight tokens."""
    ids = [token for token in completion.token_ids if token not in small_run.TOKENIZER.all_special_ids]
    cut = small_run.TOKENIZER.encode(" ", add_special_tokens=False)
    return text(tuple(ids if len(ids) <= 8 else [*ids[:4], *cut, *ids[len(ids) - 3 :]]))


def test_critique_grpo_from_its_yaml(tmp_path: Path) -> None:
    module = made("critique_grpo", total=8)
    before = small_run.weights(module)
    small_run.fit(module, 4, tmp_path)
    rollouts = rollouts_of(module)
    failed = [one for one in rollouts if not any(values(one.of("answer")))]
    assert 0 < len(failed) < len(rollouts)
    for rollout, rows in zip(rollouts, rows_of(module), strict=True):
        answers, problem = rollout.of("answer"), rollout.question.problem
        bare = answers[0].prompt.token_ids
        assert text(bare) == f"<bos>Problem:{problem}Solution:"
        expected = [(bare, sample.completion.token_ids, False) for sample in answers]
        if rollout not in failed:
            assert shape(rollout) == [("answer", True, 4)]
        else:
            roles = [samples[0].role for samples in rollout.rounds]
            assert (roles, len(rollout.samples)) == (["answer", *["critique", "refinement"] * 2], 8)
            for asked, refined in zip(rollout.of("critique"), rollout.of("refinement"), strict=True):
                answer = rollout.shown(asked)
                assert answer is not None
                shown = visible(answer.completion)
                assert text(asked.prompt.token_ids) == f"<bos>Problem:{problem}Draft:{shown}Solution:"
                both = f"Draft:{shown}Draft:{visible(asked.completion)}Refine:"
                assert text(refined.prompt.token_ids) == f"<bos>Problem:{problem}{both}"
            best = max(scored(rollout.of("refinement")), key=lambda sample: values([sample]))
            expected.append((bare, best.completion.token_ids, True))
        assert [(row.prompt_ids, row.completion_ids, row.cross_prompt) for row in rows] == expected
        rewards = values(rollout.groups[0].samples)
        mean = sum(rewards) / len(rows)
        assert [row.advantage for row in rows] == pytest.approx([reward - mean for reward in rewards])
    assert module.budget.samples == 4 * len(rollouts) + 4 * len(failed)
    assert any(row.cross_prompt and row.advantage for rows in rows_of(module) for row in rows)
    assert not small_run.same_weights(before, module)
    last = rollouts[-QUESTIONS:]
    assert module.latest["budget/samples_per_question"] == sum(len(one.samples) for one in last) / QUESTIONS


def test_the_shape_of_the_term_comes_from_the_settings(tmp_path: Path) -> None:
    own = composed(None, "algorithm=critique_grpo").algorithm.transferring
    assert own == PolicyShapingConfig(method="shape", gamma=0.1)
    weights = []
    for gamma in (0.1, 0.1, 0.5):
        module = made("critique_grpo", f"algorithm.transfer.gamma={gamma}", total=8)
        small_run.fit(module, 4, tmp_path)
        weights.append(torch.cat([value.flatten() for value in small_run.weights(module).values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_self_verification_from_its_yaml(tmp_path: Path) -> None:
    module = made("self_verification")
    small_run.fit(module, 3, tmp_path)
    steps = small_run.kept(module).steps
    assert [{len(one.samples) for one in steps[step]} for step in (1, 2, 3)] == [{2}, {4}, {4}]  # no pairs in step 1
    assert module.budget.samples == QUESTIONS * (2 + 4 + 4)
    problems = {one.question.id: one.question.problem for one in rollouts_of(module)}
    answers = {
        (one.question.id, sample.completion.text): (sample.completion, bool(values([sample])[0]))
        for one in rollouts_of(module)
        for sample in one.of("answer")
    }
    for rollout, rows in zip(rollouts_of(module), rows_of(module), strict=True):
        expected = [(sample.prompt.token_ids, sample.completion.token_ids) for sample in rollout.samples]
        for sample in rollout.of("verification"):
            assert sample.verified is not None
            answer, correct = answers[sample.verified.question_id, sample.verified.text]
            assert sample.verified.correct is correct
            about = problems[sample.verified.question_id]
            assert text(sample.prompt.token_ids) == f"<bos>Problem:{about}Solution:{visible(answer)}Draft:"
        assert [(row.prompt_ids, row.completion_ids) for row in rows] == expected  # each given its own prompt
        assert not any(row.cross_prompt for row in rows)
        for part in (rows[:2], rows[2:]):  # each group has a baseline of its own
            assert sum(row.advantage for row in part) == pytest.approx(0, abs=1e-9)
    assert module.latest["answer/completions"] == 2 * QUESTIONS  # a verification is no answer
    assert module.latest["verification/completions"] == 2 * QUESTIONS
    assert not [name for name in module.latest if name.startswith(("refinement/", "transfer/", "draft/"))]


@pytest.mark.parametrize("name", ["critique_grpo", "self_verification"])
def test_a_resumed_run_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    whole, part = made(name), made(name)
    small_run.fit(whole, 4, tmp_path)
    file = small_run.fit_and_save(part, 3, tmp_path)
    resumed = made(name)
    small_run.fit(resumed, 4, tmp_path, checkpoint=file, start_step=2)
    assert list(small_run.kept(resumed).steps) == [3, 4]
    for step in (3, 4):
        assert small_run.kept(resumed).steps[step] == small_run.kept(whole).steps[step]
    assert small_run.same_weights(whole, resumed)
    own = torch.load(file, weights_only=True)["igrpo"]
    assert ("algorithm" in own) == (name == "self_verification")


def test_without_the_buffer_it_would_not_be(tmp_path: Path) -> None:
    """The counterfactual of the test above: the checkpoint's buffer is what makes it hold."""
    whole, part = made("self_verification"), made("self_verification")
    small_run.fit(whole, 3, tmp_path)
    file = small_run.fit_and_save(part, 2, tmp_path)
    state = torch.load(file, weights_only=True)
    state["igrpo"]["algorithm"] = {"pairs": []}
    torch.save(state, file)
    forgetful = made("self_verification")
    small_run.fit(forgetful, 3, tmp_path, checkpoint=file, start_step=2)
    assert [len(one.samples) for one in small_run.kept(forgetful).steps[3]] == [2] * QUESTIONS
    assert [len(one.samples) for one in small_run.kept(whole).steps[3]] == [4] * QUESTIONS


def remembered(folder: Path) -> dict[str, Any]:
    """The buffer after a step, of a process that sampled its share of the questions."""
    module = made("self_verification")
    small_run.fit(module, 1, folder)
    assert module.collector.state is not None
    return module.collector.state.state_dict()


def test_several_processes_remember_what_one_would(tmp_path: Path) -> None:
    alone = remembered(tmp_path)
    assert len(alone["pairs"]) == 6
    (tmp_path / "processes").mkdir()
    assert in_processes(2, tmp_path / "processes", remembered, tmp_path) == [alone, alone]
