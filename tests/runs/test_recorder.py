"""What a run leaves behind: summary.json, evaluations, tables, failures, and what a resumed run takes back."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from igrpo.budget import Budget
from igrpo.config import config_hash
from igrpo.evaluation.records import Answers, QuestionRecord
from igrpo.evaluation.result import EvaluationResult, summarise
from igrpo.runs.recorder import RunRecorder
from igrpo.runs.rollout_log import RolloutLog, read_rollouts
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.summary import FirstLast, Summary, TokenCounts, read_summary
from igrpo.runs.tracker import Tracker
from igrpo.types import Completion, Prompt, Question, Rollout, Score
from tests import evaluated
from tests.begun import begun_run
from tests.composed import config as composed
from tests.rollouts import rollout, samples

QUESTIONS = [Question(name, f"problem {name}", "7") for name in "abcd"]


def completion(text: str) -> Completion:
    return Completion((1, 2), text, (-0.5, -0.25), (0.1, 0.2), (0.3, 0.4), "stop", 3)


def score(right: bool) -> Score:
    return Score(float(right), right, "right" if right else "wrong", answer="7" if right else None)


def answers(*right: bool) -> Answers:
    return evaluated.answers(tuple(completion("x") for _ in right), tuple(map(score, right)))


def evaluation(right: int, refined: int) -> EvaluationResult:
    """Of four questions with one sample each, this many right."""
    return summarise(
        [
            QuestionRecord(question, answers(i < right), answers(i < right - 1), answers(i < refined), None)
            for i, question in enumerate(QUESTIONS)
        ],
        "fake",
    )


def drafted(question: Question) -> Rollout:
    drafts = samples("draft", (completion("d0"), completion("d1")), (score(False), score(True)))
    made, scores = (completion("r0"), completion("r1")), (score(True), score(False))
    refined = samples("refinement", made, scores, number=2, prompt=Prompt((1, 2), 1), shows=drafts[1:])
    return rollout(drafts, refined, trained=[refined], question=question)


@dataclass
class Run:
    directory: RunDirectory
    tracker: Tracker
    recorder: RunRecorder
    budget: Budget
    hash: str


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = composed(
        {"trainer.steps": 6, "tracking.uri": None, "tracking.example_questions": 2, "evaluation.samples": 1}
    )
    directory = begun_run(tmp_path / "run")
    tracker = Tracker(directory, tracking_uri=None)
    budget = Budget()
    log = RolloutLog(directory.rollouts, steps_per_file=2)
    return Run(directory, tracker, RunRecorder(directory, tracker, log, config, budget), budget, config_hash(config))


def test_the_summary_grows_and_is_complete_at_the_end(run: Run) -> None:
    run.recorder.record_evaluation(0, "test", evaluation(right=1, refined=2))
    first = read_summary(run.directory.summary)
    assert (first.steps, first.single_shot.before, first.single_shot.after) == (0, 0.25, None)
    assert (first.single_shot.interval, first.entropy) == (None, {})

    for step, entropy in [(1, 0.9), (2, 0.5), (6, 0.25)]:
        run.tracker.log_metrics(step, {"draft/entropy": entropy, "refinement/entropy": entropy / 2})
    run.tracker.log_metrics(6, {"test/answer/entropy": 99.0})  # of an evaluation: not the training's
    run.budget.samples, run.budget.generated_tokens, run.budget.prefilled_tokens = 48, 100, 200
    run.budget.trained_tokens, run.budget.flops = 300, 10**18 + 1
    run.budget.add_seconds("update", 1.5)
    run.recorder.record_evaluation(6, "test", evaluation(right=3, refined=4))
    summary = run.recorder.write_summary(6)

    assert summary == read_summary(run.directory.summary)
    assert (summary.algorithm, summary.objective, summary.seed, summary.steps) == ("igrpo", "grpo", 0, 6)
    single = summary.single_shot
    assert (single.before, single.after, single.greedy_before, single.greedy_after) == (0.25, 0.75, 0.0, 0.5)
    assert (single.questions, single.samples_per_question) == (4, 1)
    for value, interval in ((single.before, single.interval_before), (single.after, single.interval)):
        assert value is not None
        assert interval is not None
        assert 0 <= interval[0] < value < interval[1] <= 1
    conditioned = summary.draft_conditioned
    assert (conditioned.before, conditioned.after, conditioned.greedy_before) == (0.5, 1.0, None)
    assert summary.entropy == {
        "draft": FirstLast(first=0.9, last=0.25),
        "refinement": FirstLast(first=0.45, last=0.125),
    }
    assert summary.samples == 48
    assert summary.tokens == TokenCounts(generated=100, prefilled=200, trained=300)
    assert summary.flops == 10**18 + 1
    assert summary.stopped_by is None
    assert summary.seconds == {"update": 1.5}
    assert summary.config_hash == run.hash
    assert {"python", "torch", "igrpo"} <= summary.versions.keys()
    assert set(json.loads(run.directory.summary.read_text())) == set(Summary.model_fields)


def test_the_summary_has_the_worth_of_a_draft_before_and_after(run: Run) -> None:
    def refined(*rows: tuple[bool, bool]) -> EvaluationResult:
        bare = [(True, False), (True, True), (False, False)]
        records = [
            QuestionRecord(question, answers(*drafts), None, answers(*row), None)
            for question, drafts, row in zip(QUESTIONS, bare, rows, strict=False)
        ]
        return summarise(records, "fake")

    first, last = refined((True, False), (True, False), (False, True)), refined(*[(True, True)] * 3)
    run.recorder.record_evaluation(0, "test", first)
    begun = read_summary(run.directory.summary).draft_worth
    assert (begun.before, begun.after) == (first.draft_worth, None)
    assert begun.before is not None
    assert (begun.before.given_right.drafts, begun.before.given_right.right) == (3, pytest.approx(2 / 3))
    run.recorder.record_evaluation(6, "test", last)
    done = read_summary(run.directory.summary).draft_worth
    assert (done.before, done.after) == (first.draft_worth, last.draft_worth)
    # a summary of an older igrpo has none
    content = json.loads(run.directory.summary.read_text())
    del content["draft_worth"]
    run.directory.summary.write_text(json.dumps(content))
    assert read_summary(run.directory.summary).draft_worth.before is None


def test_the_summary_of_a_run_that_its_budget_ended(run: Run) -> None:
    config = composed({"trainer.steps": 6, "tracking.uri": None, "budget.max_samples": 40, "evaluation.samples": 1})
    log = RolloutLog(run.directory.rollouts, steps_per_file=2)
    recorder = RunRecorder(run.directory, run.tracker, log, config, run.budget)
    recorder.record_evaluation(0, "test", evaluation(right=1, refined=2))
    run.budget.samples = 39
    recorder.record_evaluation(3, "development", evaluation(right=2, refined=2))
    before = read_summary(run.directory.summary)
    assert (before.steps, before.stopped_by, before.single_shot.after) == (3, None, None)
    run.budget.samples = 48
    recorder.record_evaluation(4, "test", evaluation(right=3, refined=4))
    summary = read_summary(run.directory.summary)
    assert (summary.steps, summary.stopped_by) == (4, "budget.max_samples")
    assert (summary.single_shot.before, summary.single_shot.after) == (0.25, 0.75)
    assert recorder.write_summary(6).stopped_by is None  # all steps are done


def test_grpo_has_the_entropy_of_answers(run: Run) -> None:
    run.tracker.log_metrics(1, {"answer/entropy": 0.5})
    assert run.recorder.write_summary(1).entropy == {"answer": FirstLast(first=0.5, last=0.5)}


def test_an_evaluation_is_kept_with_the_verdict_of_each_question(run: Run) -> None:
    run.recorder.record_evaluation(3, "development", evaluation(right=1, refined=2))
    kept = json.loads((run.directory.evaluations / "development-000003.json").read_text())
    assert (kept["step"], kept["split"], kept["single_shot"]["value"]) == (3, "development", 0.25)
    assert [one["id"] for one in kept["per_question"]] == ["a", "b", "c", "d"]
    assert [one["single_shot"] for one in kept["per_question"]] == [[True], [False], [False], [False]]
    assert run.recorder.has_evaluation(3, "development")
    assert not run.recorder.has_evaluation(3, "test")
    assert not run.recorder.has_evaluation(2, "development")
    assert read_summary(run.directory.summary).single_shot.before is None  # the development split is no headline
    assert not (run.directory.evaluations / "samples-000003.json").exists()  # nothing was sampled yet


def test_an_evaluation_without_scores_is_repeated(run: Run) -> None:
    silent = evaluated.answers((completion("x"),), (Score(0.0, None, "unscored"),))
    result = summarise([QuestionRecord(question, silent, None, silent, None) for question in QUESTIONS], "fake")
    run.recorder.record_evaluation(0, "test", result)
    assert read_summary(run.directory.summary).single_shot.before is None
    assert not run.recorder.has_evaluation(0, "test")
    run.recorder.record_evaluation(0, "test", evaluation(right=1, refined=1))
    assert run.recorder.has_evaluation(0, "test")


def test_each_development_evaluation_has_a_table_of_samples(run: Run) -> None:
    run.recorder.record(3, [drafted(question) for question in QUESTIONS])
    run.recorder.record_evaluation(3, "development", evaluation(1, 1))
    run.recorder.record_evaluation(3, "test", evaluation(1, 1))
    assert [path.name for path in run.directory.evaluations.glob("samples-*")] == ["samples-000003.json"]
    table = json.loads((run.directory.evaluations / "samples-000003.json").read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert rows == [
        {
            "question": f"problem {name}", "gold": "7", "drafts": ["d0", "d1"], "draft_scores": [0.0, 1.0],
            "best_draft": "d1", "refinements": ["r0", "r1"], "refinement_scores": [1.0, 0.0],
        }
        for name in "ab"  # tracking.example_questions=2
    ]  # fmt: skip


def test_every_completion_of_every_step_is_kept(run: Run) -> None:
    for step in (1, 2, 3):
        run.recorder.record(step, [drafted(question) for question in QUESTIONS])
    lines = list(read_rollouts(run.directory.rollouts))
    assert [(line["step"], line["question"]["id"]) for line in lines] == [(s, q) for s in (1, 2, 3) for q in "abcd"]
    assert [one["role"] for one in lines[0]["samples"]] == ["draft", "draft", "refinement", "refinement"]
    assert len(list(run.directory.rollouts.iterdir())) == 2


def test_a_failure_is_readable_with_its_reason(run: Run) -> None:
    path = run.recorder.record_failure(4, [drafted(QUESTIONS[0])], "the loss is nan")
    assert path == run.directory.failures / "step-000004.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        head, line = map(json.loads, file)
    assert head == {"step": 4, "reason": "the loss is nan"}
    assert line["question"]["id"] == "a"
    assert [one["text"] for one in line["samples"][2:]] == ["r0", "r1"]


def test_a_resumed_run_takes_back_what_came_after_its_checkpoint(run: Run) -> None:
    run.recorder.record_evaluation(0, "test", evaluation(1, 1))
    for step in range(1, 7):
        run.recorder.record(step, [drafted(QUESTIONS[0])])
        run.recorder.record_evaluation(step, "development", evaluation(1, 1))
    run.recorder.record_evaluation(6, "test", evaluation(4, 4))
    (run.directory.evaluations / "notes-by-hand.json").write_text("{}")

    run.recorder.forget_after(3)
    expected = {"test-000000.json", "notes-by-hand.json"}
    expected |= {f"{kind}-{step:06d}.json" for step in (1, 2, 3) for kind in ("development", "samples")}
    assert {path.name for path in run.directory.evaluations.iterdir()} == expected
    assert [line["step"] for line in read_rollouts(run.directory.rollouts)] == [1, 2, 3]
    assert run.recorder.write_summary(3).single_shot.after is None

    run.recorder.forget_after(-1)  # no checkpoint: everything is done again
    assert [path.name for path in run.directory.evaluations.iterdir()] == ["notes-by-hand.json"]
    assert list(run.directory.rollouts.iterdir()) == []


def test_a_reward_that_is_no_number_does_not_break_the_record(run: Run) -> None:
    odd: Any = Score(float("inf"), None, "crashed")
    answers = samples("answer", [completion("x")], [odd])
    path = run.recorder.record_failure(1, [rollout(answers, trained=[answers])], "x")
    with gzip.open(path, "rt") as file:
        assert json.loads(list(file)[1])["samples"][0]["score"]["value"] == "inf"
