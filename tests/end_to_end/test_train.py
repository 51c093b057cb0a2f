"""`igrpo train` from the command line to its tables and files: both algorithms, real problems, and wrong input."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from igrpo.runs.summary import Summary
from tests.end_to_end import runs

pytestmark = pytest.mark.slow

BOTH = {
    "train/entropy", "train/reward",
    "reward/outcome/wrong", "groups/zero_variance_share", "train/learning_rate", "train/gradient_norm",
    "budget/samples", "budget/trained_tokens", "seconds/generation", "step_seconds/update",
}  # fmt: skip
IGRPO_ONLY = {
    "draft/entropy", "refinement/entropy", "refinement/reward_mean", "refinement/accuracy", "transfer/lift", "copy/text_similarity",
    "draft/all_failed_share", "draft/shown_share",
}  # fmt: skip


def squeeze(output: str) -> str:
    return " ".join(output.split())


def assert_tables(output: str, run_dir: Path, name: str) -> None:
    text = squeeze(output)
    for part in (
        "what the settings resolve to", "on-policy: clipping is inert", "step 1/6", "step 6/6",
        f"algorithm {name} · objective grpo · seed 0 · steps 6", "single-shot, mean of 2", "draft-conditioned",
        "8 questions; intervals of 95 %", "entropy, nats per token", "drafts" if name == "igrpo" else "answers", "samples 96", "tokens trained",
        "seconds generation", "seconds update", f"Run directory: {run_dir}", "mlflow ui --backend-store-uri sqlite:",
        "?workflowType=machine_learning",
    ):  # fmt: skip
        assert part in text, part
    assert "Traceback" not in text


def assert_summary(summary: dict[str, Any], name: str) -> None:
    assert set(summary) == set(Summary.model_fields)
    assert (summary["algorithm"], summary["objective"], summary["seed"], summary["steps"]) == (name, "grpo", 0, 6)
    for part in ("single_shot", "draft_conditioned"):
        found = summary[part]
        assert 0 <= found["interval"][0] <= found["after"] <= found["interval"][1] <= 1
        assert found["before"] is not None
        assert (found["questions"], found["samples_per_question"]) == (8, 2)
    assert summary["single_shot"]["greedy_after"] is None
    assert set(summary["entropy"]) == ({"draft", "refinement"} if name == "igrpo" else {"answer"})
    assert all(0 < value < 4 for role in summary["entropy"].values() for value in role.values())
    assert min(summary["tokens"].values()) > 0
    assert {"generation", "reward_wait", "update", "evaluation", "checkpoint"} <= set(summary["seconds"])


def assert_metrics(run_dir: Path, name: str) -> None:
    lines = runs.training_steps(run_dir)
    assert [line["step"] for line in lines] == list(range(1, 7))
    for line in lines:
        assert line.keys() >= BOTH
        if name == "igrpo":
            assert line.keys() >= IGRPO_ONLY
        else:
            assert not [key for key in line if key.startswith(("refinement/", "transfer/", "copy/", "draft/"))]


def assert_rollouts(run_dir: Path, name: str) -> None:
    traces = runs.rollouts(run_dir)
    assert [trace["step"] for trace in traces] == [step for step in range(1, 7) for _ in range(4)]
    shape = [("draft", False, 2), ("refinement", True, 2)] if name == "igrpo" else [("answer", True, 4)]
    for trace in traces:
        assert runs.shape(trace) == shape
        assert all(one["policy_version"] == trace["step"] - 1 for one in trace["samples"])  # on-policy


def assert_tracked(run_dir: Path, name: str) -> None:
    assert runs.status(run_dir) == "FINISHED"
    record = json.loads((run_dir / "run.json").read_text())
    client = MlflowClient(record["mlflow_tracking_uri"])
    run = client.get_run(record["mlflow_run_id"])
    assert run.data.params["algorithm.name"] == name
    assert run.data.params["trainer.steps"] == "6"
    history = client.get_metric_history(record["mlflow_run_id"], "train/entropy")
    assert [(point.step, point.value) for point in history] == [
        (line["step"], line["train/entropy"]) for line in runs.training_steps(run_dir)
    ]
    assert ("refinement/entropy" in run.data.metrics) == (name == "igrpo")
    assert {"test/single_shot/accuracy", "development/draft_conditioned/accuracy"} <= run.data.metrics.keys()
    artifacts = {item.path for item in client.list_artifacts(record["mlflow_run_id"])}
    assert {"config.yaml", "summary.json", "tables"} <= artifacts


def test_both_algorithms_from_the_command_line(tmp_path: Path) -> None:
    names = ("igrpo", "grpo")
    started = {name: runs.start(runs.train(tmp_path, name, f"algorithm={name}"), tmp_path) for name in names}
    for name, process in started.items():
        output, run_dir = runs.finish(process), tmp_path / name
        assert process.returncode == 0, output
        assert_tables(output, run_dir, name)
        assert_summary(runs.summary(run_dir), name)
        assert_metrics(run_dir, name)
        assert_rollouts(run_dir, name)
        assert_tracked(run_dir, name)
        kinds = [f"test-{step:06d}" for step in (0, 6)] + [f"development-{step:06d}" for step in (0, 3, 6)]
        assert {path.stem for path in (run_dir / "evaluations").iterdir()} >= set(kinds)

    # the matched budget: as many samples, and as many in each step, from the same questions and the same weights
    lines = {name: [line["budget/samples"] for line in runs.training_steps(tmp_path / name)] for name in names}
    assert lines["igrpo"] == lines["grpo"] == [16, 32, 48, 64, 80, 96]
    questions = {name: [trace["question"] for trace in runs.rollouts(tmp_path / name)] for name in names}
    assert questions["igrpo"] == questions["grpo"]
    before = {name: runs.summary(tmp_path / name)["single_shot"]["before"] for name in names}
    assert before["igrpo"] == before["grpo"]
    first, second = (json.loads((tmp_path / name / "evaluations" / "test-000000.json").read_text()) for name in names)
    assert first == second


def write_problems(path: Path, count: int = 24) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for i in range(count):
            problem = f"A café has {i} cups and buys $\\frac{{1}}{{2}}$ dozen more. How many cups are there?"
            file.write(json.dumps({"id": f"p{i}", "problem": problem, "answer": str(i + 6)}) + "\n")


def math_local(folder: Path, file: Path, *overrides: str) -> list[str]:
    return [
        "train", "experiment=math_local", f"data.path={file}", "data.development=0.2", "data.test=0.2",
        f"hydra.run.dir={folder}", "model.hidden=32", "model.layers=1", "model.mlp=32", "trainer.steps=2",
        "trainer.questions_per_step=2", "completions_per_question=4", "sampling.max_completion_tokens=24",
        "prompt.max_draft_tokens=64", "evaluation.questions=3", "evaluation.every=1", "tracking=none", *overrides,
    ]  # fmt: skip


def test_real_problems_with_chat_template_and_reference_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run_dir = tmp_path / "problems.jsonl.gz", tmp_path / "run"
    write_problems(file)
    runs.run_here(math_local(run_dir, file, "model.chat_template=true", "objective.kl_beta=0.01"))
    assert "reference model: none" not in capsys.readouterr().out
    summary = runs.summary(run_dir)
    assert summary["samples"] == 2 * 2 * 4
    assert summary["tokens"]["trained"] > 0  # the KL term has a gradient where the rewards have none
    assert summary["single_shot"]["questions"] == 3
    for line in runs.training_steps(run_dir):
        assert line.keys() >= BOTH | IGRPO_ONLY | {"train/kl_reference", "train/loss", "train/ratio_mean"}
        assert line["train/sampler_logprob_gap_max"] < 1e-4
    traces = runs.rollouts(run_dir)
    assert all(trace["question"]["problem"].startswith("A café has") for trace in traces)
    refined = [one for trace in traces for one in trace["samples"] if one["role"] == "refinement"]
    assert all(one["draft_tokens"] > 0 for one in refined)


def test_wrong_input_is_one_line_that_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, run_dir = tmp_path / "bad.jsonl", tmp_path / "bad"
    bad.write_text('{"id": "1", "problem": "1+1?", "answer": "2"}\n{"id": "2", "problem": "1+2?"\n')
    runs.run_here(math_local(run_dir, bad), code=1)
    printed = capsys.readouterr()
    assert printed.err.startswith(f"igrpo: {bad}:2: not valid JSON (")
    assert printed.err.endswith(f"\n  details: {run_dir / 'log.txt'}\n")
    assert "Traceback" not in printed.out + printed.err
    assert "Traceback" in (run_dir / "log.txt").read_text()
    assert runs.status(run_dir) == "FAILED"

    absent = tmp_path / "absent.jsonl"
    runs.run_here(math_local(tmp_path / "none", absent), code=2)
    assert f"data.path={absent}: there is no such file\n" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    runs.run_here(math_local(tmp_path / "long", bad, "trainer.questions_per_step=0"), code=2)
    assert "trainer.questions_per_step=0" in capsys.readouterr().err
    assert not (tmp_path / "long").exists()
