"""Evaluations before training that later runs use again: the same numbers, and only for the same evaluation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.assembly import Parts, build_policy, build_prompts
from igrpo.evaluation.records import QuestionRecord
from igrpo.evaluation.result import EvaluationResult, summarise
from igrpo.runs.console import get_console
from igrpo.runs.fingerprints import Fingerprints
from igrpo.runs.first_results import FirstResults, first_results
from igrpo.types import Completion, Question, Score
from tests import evaluated
from tests.composed import config
from tests.end_to_end.runs import metrics, read_json, run_here, train

PRINTS = Fingerprints(
    date="2026-01-01",
    questions={"train": {"ids": "a"}, "test": {"ids": "b"}},
    prompts={"question": {"tokens": "c"}},
    reward={"reward": {"settings": "d"}},
    model={"model": {"settings": "e"}},
)
SMALL_MODEL = {"model.hidden": 32, "model.layers": 1, "model.heads": 2, "model.mlp": 48, "model.warm_start.steps": 1}


def evaluation(outcome: Any = "right") -> EvaluationResult:
    one = Completion((1, 2), "x", (-0.5, -1 / 3), None, (0.1, 2 / 3), "stop", 0)
    scores = (Score(1.0, outcome == "right", outcome, "7"), Score(0.0, False, "wrong"))
    answers, greedy = evaluated.answers((one, one), scores), evaluated.answers((one,), scores[:1])
    return summarise([QuestionRecord(Question(i, "", ""), answers, greedy, answers, None) for i in "ab"], "fake")


def test_a_kept_result_is_the_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept, result = FirstResults({"seed": 1}, tmp_path), evaluation()
    assert kept.load("test") is None
    kept.save("test", result)
    with caplog.at_level(logging.INFO):
        assert FirstResults({"seed": 1}, tmp_path).load("test") == result
    assert "that of an earlier run" in caplog.text
    assert result.metrics("test") == kept.load("test").metrics("test")  # type: ignore[union-attr]
    assert kept.load("development") is None
    assert FirstResults({"seed": 2}, tmp_path).load("test") is None


@pytest.mark.parametrize("outcome", ["timed_out", "crashed", "unscored"])
def test_a_verdict_that_may_change_is_not_kept(outcome: str, tmp_path: Path) -> None:
    kept = FirstResults({}, tmp_path)
    kept.save("test", evaluation(outcome))
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_evaluated_again_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = FirstResults({}, tmp_path)
    kept.save("test", evaluation())
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-20])
    assert kept.load("test") is None
    assert "is broken" in caplog.text


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    FirstResults({}, tmp_path / "file").save("test", evaluation())
    assert "not kept" in caplog.text


@pytest.fixture(scope="module")
def parts() -> Parts:
    settings = config(SMALL_MODEL)
    policy = build_policy(settings, get_console())
    unused: Any = None
    return Parts(policy, unused, unused, build_prompts(settings.prompt, policy.tokenizer))


def digest(changes: dict[str, Any], parts: Parts, prints: Fingerprints = PRINTS) -> str:
    found = first_results(config({**SMALL_MODEL, "evaluation.reuse_first": True, **changes}), parts, prints)
    assert found is not None
    return found.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"evaluation.samples": 3},
        {"evaluation.questions": 3},
        {"evaluation.interval_width": 0.2},
        {"sampling.max_completion_tokens": 9},
        {"rollout.max_batch_rows": 7},
        {"prompt.max_draft_tokens": 30},
        {"trainer.threads": 2},
    ],
    ids=str,
)
def test_a_setting_that_changes_the_result_gives_another_file(changes: dict[str, Any], parts: Parts) -> None:
    assert digest(changes, parts) != digest({}, parts)


def test_conditions_of_a_sweep_share_the_file(parts: Parts) -> None:
    changes = {"trainer.learning_rate": 0.5, "trainer.steps": 3, "condition": "other", "evaluation.every": 3}
    assert digest(changes, parts) == digest({}, parts)
    fewer = PRINTS.model_copy(update={"questions": {**PRINTS.questions, "train": {"ids": "other"}}})
    assert digest({}, parts, fewer) == digest({}, parts)


@pytest.mark.parametrize("part", ["questions", "prompts", "reward", "model"])
def test_other_fingerprints_give_another_file(part: str, parts: Parts) -> None:
    changed = PRINTS.model_copy(update={part: {"test": {"ids": "other"}}})
    assert digest({}, parts, changed) != digest({}, parts)


def test_other_weights_give_another_file(parts: Parts) -> None:
    before = digest({}, parts)
    with torch.no_grad():
        weight = next(iter(parts.policy.model.parameters())).view(-1)
        weight[0] += 1e-6
        assert digest({}, parts) != before
        weight[0] -= 1e-6


@pytest.mark.parametrize(
    ("changes", "overrides", "words"),
    [
        ({"rollout.pipeline": True}, (), "rollout.pipeline=false"),
        ({}, ("reward=python", "reward.target=tests.own_rewards:short"), "may score an answer differently"),
    ],
)
def test_where_it_is_not_possible_the_log_says_why(
    changes: dict[str, Any], overrides: tuple[str, ...], words: str, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config({**changes, "evaluation.reuse_first": True}, *overrides)
    with caplog.at_level(logging.INFO):
        assert first_results(settings, parts, PRINTS) is None
    assert "evaluation.reuse_first=true has no effect" in caplog.text
    assert words in caplog.text


def test_it_is_off_unless_asked_for(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert first_results(config(), parts, PRINTS) is None
    assert caplog.text == ""


@pytest.mark.slow
def test_a_second_run_has_the_numbers_of_one_that_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IGRPO_CACHE_DIR", str(tmp_path / "cache"))
    few = ("model.warm_start.steps=5", "trainer.steps=1", "tracking=none", "experiment=quickstart")
    run_here(train(tmp_path, "plain", *few, "evaluation.reuse_first=false"))
    assert not (tmp_path / "cache" / "first_evaluations").exists()
    run_here(train(tmp_path, "first", *few))
    assert len(list((tmp_path / "cache" / "first_evaluations").iterdir())) == 2
    caplog.clear()
    with caplog.at_level(logging.INFO, "igrpo"):
        run_here(train(tmp_path, "second", *few))
    assert caplog.text.count("that of an earlier run") == 2
    for name in ("first", "second"):
        assert metrics(tmp_path / name) == metrics(tmp_path / "plain")
        for file in (tmp_path / "plain" / "evaluations").iterdir():
            assert read_json(tmp_path / name / "evaluations" / file.name) == read_json(file)
