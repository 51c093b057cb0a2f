"""Critique-GRPO and Self-Verification, from their YAML to real steps: prompts, rows, samples, and an exact resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo import assembly
from igrpo.settings.importance_weights import PolicyShapingConfig
from igrpo.training.batching import Row
from igrpo.training.module import IGRPOModule
from igrpo.training.update import Updater
from igrpo.types import Completion, Trace
from tests.composed import config as composed
from tests.gloo import in_processes
from tests.training import small_run

QUESTIONS = 3  # a step of small_run


def mixed(completion: Completion) -> float:
    """Right for about a quarter of the answers of a random model."""
    return float(sum(completion.token_ids) % 4 == 0)


def made(name: str, monkeypatch: pytest.MonkeyPatch, *changes: str, total: int = 4) -> IGRPOModule:
    config = composed(None, f"condition={name}", f"completions_per_question={total}", *changes)
    monkeypatch.setitem(small_run.ALGORITHMS, name, assembly.build_algorithm(config))
    goal = config.objective.model_dump(exclude={"name"})
    reward = small_run.ScriptedReward(mixed)
    return small_run.make(name, reward, objective_changes=goal, transfer=config.transfer)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """The rows of each question, as they go into the update."""
    rows: list[list[Row]] = []
    run = Updater.run

    def spy(self: Updater, questions_S: Any, *rest: Any) -> Any:
        rows.extend(questions_S)
        return run(self, questions_S, *rest)

    monkeypatch.setattr(Updater, "run", spy)
    return rows


def traces_of(module: IGRPOModule) -> list[Trace]:
    return [trace for step in small_run.kept(module).steps.values() for trace in step]


def text(prompt: tuple[int, ...]) -> str:
    return str(small_run.TOKENIZER.decode(prompt))


def visible(completion: Completion) -> str:
    """As small_run's prompts show it: without special tokens, and with its middle cut out beyond eight tokens."""
    ids = [token for token in completion.token_ids if token not in small_run.TOKENIZER.all_special_ids]
    cut = small_run.TOKENIZER.encode(" ", add_special_tokens=False)
    return text(tuple(ids if len(ids) <= 8 else [*ids[:4], *cut, *ids[len(ids) - 3 :]]))


def test_critique_grpo_from_its_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[list[Row]]) -> None:
    module = made("critique_grpo", monkeypatch, total=8)
    before = small_run.weights(module)
    small_run.fit(module, 4, tmp_path)
    traces = traces_of(module)
    failed = [trace for trace in traces if not any(score.correct for score in trace.groups[0].scores)]
    assert 0 < len(failed) < len(traces)
    for trace, rows in zip(traces, seen, strict=True):
        bare, problem = trace.groups[0].prompt, trace.question.problem
        assert text(bare.token_ids) == f"<bos>Problem:{problem}Solution:"
        assert len(trace.groups[0].completions) == 4
        if trace not in failed:
            assert (len(trace.groups), trace.sampled) == (1, 4)
            expected = [(bare.token_ids, c.token_ids, False) for c in trace.groups[0].completions]
        else:
            assert ([group.stage for group in trace.groups], trace.sampled) == ([1, 3, 2, 3, 2], 8)
            for asked, refined in zip(trace.groups[1::2], trace.groups[2::2], strict=True):
                answer = visible(trace.groups[0].completions[asked.shown[0]])
                assert text(asked.prompt.token_ids) == f"<bos>Problem:{problem}Draft:{answer}Solution:"
                shown = f"Draft:{answer}Draft:{visible(asked.unscored[0])}Refine:"
                assert text(refined.prompt.token_ids) == f"<bos>Problem:{problem}{shown}"
            refinements = [(g.scores[0].value, g.completions[0].token_ids) for g in trace.groups[2::2]]
            best = max(refinements, key=lambda one: one[0])[1]
            expected = [(bare.token_ids, c.token_ids, False) for c in trace.groups[0].completions]
            expected += [(bare.token_ids, best, True)]
        assert [(row.prompt_ids, row.completion_ids, row.transferred) for row in rows] == expected
        mean = sum(score.value for score in (one.score for one in trace.cohorts[0])) / len(rows)
        assert [row.advantage for row in rows] == pytest.approx([one.score.value - mean for one in trace.cohorts[0]])
    assert module.budget.samples == 4 * len(traces) + 4 * len(failed)
    assert any(row.transferred and row.advantage for rows in seen for row in rows)
    assert any(not torch.equal(value, before[key]) for key, value in small_run.weights(module).items())
    last = traces[-QUESTIONS:]
    assert module.latest["budget/samples_per_question"] == sum(trace.sampled for trace in last) / QUESTIONS


def test_the_shape_of_the_term_comes_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert composed(None, "algorithm=critique_grpo").transfer == PolicyShapingConfig(method="shape", gamma=0.1)
    weights = []
    for gamma in (0.1, 0.1, 0.5):
        module = made("critique_grpo", monkeypatch, f"algorithm.transfer.gamma={gamma}", total=8)
        small_run.fit(module, 4, tmp_path)
        weights.append(torch.cat([value.flatten() for value in small_run.weights(module).values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_self_verification_from_its_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[list[Row]]
) -> None:
    module = made("self_verification", monkeypatch)
    small_run.fit(module, 3, tmp_path)
    steps = small_run.kept(module).steps
    assert [{trace.sampled for trace in steps[step]} for step in (1, 2, 3)] == [{2}, {4}, {4}]  # no pairs in step 1
    assert module.budget.samples == QUESTIONS * (2 + 4 + 4)
    problems = {trace.question.id: trace.question.problem for traces in steps.values() for trace in traces}
    answers = {
        (trace.question.id, completion.text): (completion, score.correct)
        for traces in steps.values()
        for trace in traces
        for completion, score in zip(trace.groups[0].completions, trace.groups[0].scores, strict=True)
    }
    for trace, rows in zip(traces_of(module), seen, strict=True):
        expected = [(trace.groups[0].prompt.token_ids, c.token_ids) for c in trace.groups[0].completions]
        for group in trace.groups[1:]:
            assert group.verified is not None
            answer, correct = answers[group.verified.question_id, group.verified.text]
            assert group.verified.correct is correct
            about = problems[group.verified.question_id]
            assert text(group.prompt.token_ids) == f"<bos>Problem:{about}Solution:{visible(answer)}Draft:"
            expected += [(group.prompt.token_ids, c.token_ids) for c in group.completions]
        assert [(row.prompt_ids, row.completion_ids) for row in rows] == expected  # each given its own prompt
        assert not any(row.transferred for row in rows)
        for part in (rows[:2], rows[2:]):  # each group has a baseline of its own
            assert sum(row.advantage for row in part) == pytest.approx(0, abs=1e-9)
    assert module.latest["stage1/completions"] == 2 * QUESTIONS  # a verification is no answer
    assert module.latest["verify/completions"] == 2 * QUESTIONS
    assert not [name for name in module.latest if name.startswith(("stage2/", "stage3/", "transfer/", "drafts/"))]


@pytest.mark.parametrize("name", ["critique_grpo", "self_verification"])
def test_a_resumed_run_is_the_uninterrupted_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, part = made(name, monkeypatch), made(name, monkeypatch)
    small_run.fit(whole, 4, tmp_path)
    file = tmp_path / "x.ckpt"
    small_run.fit(part, 3, tmp_path, callbacks=[small_run.SaveAfter(2, file)])
    resumed = made(name, monkeypatch)
    small_run.fit(resumed, 4, tmp_path, checkpoint=file, start_step=2)
    assert list(small_run.kept(resumed).steps) == [3, 4]
    for step in (3, 4):
        assert small_run.kept(resumed).steps[step] == small_run.kept(whole).steps[step]
    ends = [small_run.weights(module) for module in (whole, resumed)]
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())
    own = torch.load(file, weights_only=True)["igrpo"]
    assert ("algorithm" in own) == (name == "self_verification")


def test_without_the_buffer_it_would_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counterfactual of the test above: the checkpoint's buffer is what makes it hold."""
    whole, part = made("self_verification", monkeypatch), made("self_verification", monkeypatch)
    small_run.fit(whole, 3, tmp_path)
    file = tmp_path / "x.ckpt"
    small_run.fit(part, 2, tmp_path, callbacks=[small_run.SaveAfter(2, file)])
    state = torch.load(file, weights_only=True)
    state["igrpo"]["algorithm"] = {"pairs": []}
    torch.save(state, file)
    forgetful = made("self_verification", monkeypatch)
    small_run.fit(forgetful, 3, tmp_path, checkpoint=file, start_step=2)
    assert [trace.sampled for trace in small_run.kept(forgetful).steps[3]] == [2] * QUESTIONS
    assert [trace.sampled for trace in small_run.kept(whole).steps[3]] == [4] * QUESTIONS


def remembered(traces: list[Trace]) -> dict[str, Any]:
    """The buffer after a step, of a process that sampled its share of the questions."""
    from igrpo import distributed

    module = small_run.make("self_verification")
    module._remember(distributed.share(traces))
    algorithm: Any = module._collector.algorithm
    state: dict[str, Any] = algorithm.state_dict()
    return state


def test_several_processes_remember_what_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = made("self_verification", monkeypatch)
    small_run.fit(module, 1, tmp_path)
    alone = remembered(traces_of(module))
    assert len(alone["pairs"]) == 6
    (tmp_path / "processes").mkdir()
    assert in_processes(2, tmp_path / "processes", remembered, traces_of(module)) == [alone, alone]
