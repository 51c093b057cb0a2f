"""A real pretrained model by vLLM: trained on both engines, and the judge of these runs, served and in the process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from igrpo.generation.vllm.supervisor import free_port
from tests.end_to_end import runs
from tests.smollm2.times_tables import QUESTIONS, SAMPLES, arguments, judge, run
from tests.vllm.serving import end_by_sigterm, told_until_ready
from tests.vllm.test_judge import start

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(1200)]

#: The bonus moves the weights in every step, whatever the judge says: each sync has something to carry.
SHORT = ("algorithm=igrpo", "trainer.steps=2", "evaluation.questions=1", "evaluation.samples=1",
         "evaluation.draft_conditioned=false", "objective.entropy_bonus=0.01")  # fmt: skip


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """Emptied at the end: a checkpoint has 1.6 GB."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def check(run_dir: Path) -> None:
    """Each step was sampled from the newest weights with the trainer's log-probs, and judged as far as it was readable."""
    traces = runs.rollouts(run_dir)
    assert [trace["step"] for trace in traces] == [1] * QUESTIONS + [2] * QUESTIONS
    samples = [one for trace in traces for one in trace["samples"]]
    scored = [one for one in samples if one["score"] is not None]
    missing = [one for one in samples if one["score"] is None]
    assert len(scored) + len(missing) == 2 * QUESTIONS * SAMPLES
    for trace in traces:
        assert {one["policy_version"] for one in trace["samples"]} <= {trace["step"] - 1}
    assert scored
    assert all(0 <= completion["score"]["value"] <= 1 for completion in scored)
    steps = [line for line in runs.metrics(run_dir) if "judge/requests" in line]
    assert sum(line["judge/unscored"] for line in steps) == len(missing)
    different = {(trace["question"]["id"], one["text"]) for trace in traces for one in trace["samples"]}
    assert sum(line["judge/requests"] for line in steps) >= len(different), "the same solution is asked about once"
    trained = [line for line in runs.metrics(run_dir) if "train/loss" in line]
    assert len(trained) == 2
    for line in trained:
        assert line["train/gradient_norm"] > 0
        assert line["train/sampler_logprob_gap_max"] < 1e-3
        assert line["train/sampler_ess"] > 0.999


def test_in_the_process_before_a_served_judge(work: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port("127.0.0.1")
    monkeypatch.setenv("IGRPO_JUDGE_API_KEY", "a secret of this test")
    served = (f"reward.base_url=http://127.0.0.1:{port}/v1",)
    with start(work, smollm2, port) as serve:
        output = told_until_ready(serve)
        assert serve.poll() is None, output
        reward = judge("judge", smollm2, work / "cache.sqlite", *served)
        try:
            run(arguments(work / "run", *SHORT, "rollout=vllm_colocate", reward=reward), work)
        finally:
            end_by_sigterm(serve)
    check(work / "run")


def test_behind_http_before_a_judge_in_the_process(work: Path, smollm2: Path) -> None:
    reward = judge("judge_vllm", smollm2, work / "cache.sqlite", "reward.dtype=float32", "reward.enforce_eager=true")
    run(arguments(work / "run", *SHORT, "rollout=vllm_server", reward=reward), work)
    check(work / "run")
