"""A real pretrained model through the whole program: trained, resumed, exported, asked, and scored by the verifier."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from igrpo.runs.summary import read_summary
from igrpo.training.checkpoints import newest_checkpoint
from tests.end_to_end import runs
from tests.end_to_end.test_resume import assert_same_run
from tests.smollm2.times_tables import PATIENCE_S, QUESTIONS, SAMPLES, arguments, judge, last_number, run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("smollm2"), pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def grpo(work: Path) -> Path:
    run(arguments(work / "grpo", "algorithm=grpo"), work)
    return work / "grpo"


@pytest.fixture(scope="module")
def igrpo(work: Path) -> Path:
    run(arguments(work / "igrpo", "algorithm=igrpo"), work)
    return work / "igrpo"


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_three_steps(algorithm: str, request: pytest.FixtureRequest) -> None:
    run_dir: Path = request.getfixturevalue(algorithm)
    roles = ["draft", "refinement"] if algorithm == "igrpo" else ["answer"]
    traces = runs.rollouts(run_dir)
    assert [trace["step"] for trace in traces] == [1] * QUESTIONS + [2] * QUESTIONS + [3] * QUESTIONS
    read, right = 0, 0
    for trace in traces:
        completions = trace["samples"]
        assert list(dict.fromkeys(completion["role"] for completion in completions)) == roles
        assert len(completions) == SAMPLES
        assert {completion["policy_version"] for completion in completions} == {trace["step"] - 1}
        for completion in completions:
            number = last_number(completion["text"])
            if number is not None:  # the verifier agrees with Python wherever the reply is plain
                assert completion["score"]["correct"] == (number == int(trace["question"]["answer"])), completion
                read += 1
                right += completion["score"]["correct"]
    assert read > right > 0, "a real model is right at times, and wrong at times"
    steps = [line for line in runs.metrics(run_dir) if "train/loss" in line]
    assert steps
    for line in steps:
        assert math.isfinite(line["train/loss"])
        assert line["train/sampler_logprob_gap_max"] < 1e-3
        assert math.isfinite(line["train/gradient_norm"])
    assert max(line["train/gradient_norm"] for line in steps) > 0
    summary = read_summary(run_dir / "summary.json")
    assert summary.samples == 3 * QUESTIONS * SAMPLES
    found = runs.summary(run_dir)
    for prompt in ("single_shot", "draft_conditioned"):
        for moment in ("before", "after"):
            counted = found[prompt][moment] * 2 * 2  # questions, samples
            assert counted == pytest.approx(round(counted))
            assert 0 <= found[prompt][moment] <= 1
    for split in ("development", "test"):
        assert sorted(path.name for path in (run_dir / "evaluations").glob(f"{split}-*")) == [
            f"{split}-000000.json", f"{split}-000003.json"
        ]  # fmt: skip


def test_a_killed_run_goes_on_as_if_nothing_had_been(igrpo: Path, work: Path) -> None:
    run_dir = work / "killed"
    process = runs.start(arguments(run_dir, "algorithm=igrpo"), work)
    runs.wait_until(
        process,
        lambda: (newest := newest_checkpoint(run_dir / "checkpoints")) is not None and newest.step == 2,
        timeout_s=PATIENCE_S,
    )
    process.kill()
    runs.finish(process)
    assert runs.status(run_dir) == "RUNNING"
    assert "resuming after step 2 of 3" in run(["train", f"resume={run_dir}"], work)
    assert_same_run(igrpo, run_dir, 3)


def test_what_was_trained_is_exported_and_answers(igrpo: Path, work: Path, smollm2: Path) -> None:
    out = work / "exported"
    run(["export", str(igrpo), "--out", str(out)], work)
    before, after = (load_file(folder / "model.safetensors") for folder in (smollm2, out))
    moved = {name: float((after[name] - weight).abs().max()) for name, weight in before.items()}
    assert before.keys() == after.keys()
    assert all(0 < distance < 1e-4 for distance in moved.values()), "3 steps of AdamW at a learning rate of 1e-5"
    weights = torch.load(igrpo / "checkpoints" / "step-000003.ckpt", weights_only=True, mmap=True)["state_dict"]
    assert all(torch.equal(after[name], weights[f"policy.{name}"]) for name in after)
    reply = run(["chat", str(out), "12 * 7", "--refine", "--drafts", "2", "--seed", "1"], work)
    assert "Traceback" not in reply
    assert len(re.findall(r"^draft", reply, re.MULTILINE)) >= 2, reply
    assert reply == run(["chat", str(igrpo), "12 * 7", "--refine", "--drafts", "2", "--seed", "1"], work)


def test_its_rollouts_before_a_judge(igrpo: Path, work: Path, smollm2: Path) -> None:
    """What of its replies cannot be read counts as such, and is in no verdict."""
    judged = judge("judge_local", smollm2, work / "rescore.sqlite")
    run(["rescore", str(igrpo), "--steps", "1:1", *judged], work)
    (path,) = igrpo.glob("rescore-judge_local-*.json")
    found = json.loads(path.read_text())
    sampled = [one for trace in runs.rollouts(igrpo)[:QUESTIONS] for one in trace["samples"]]
    assert found["steps"] == [1]
    assert found["completions"] == len(sampled) == QUESTIONS * SAMPLES
    verdicts = [found[name] for name in ("both_right", "only_old_right", "only_new_right", "neither_right")]
    assert sum(verdicts) == found["verdicts"] == len(sampled) - found["unscored_new"] > 0
    right = sum(completion["score"]["correct"] for completion in sampled)
    assert found["both_right"] + found["only_old_right"] <= right
