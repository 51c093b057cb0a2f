"""A run that was killed and resumed is the run that was not: bit by bit."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.end_to_end import runs

pytestmark = pytest.mark.slow

STEPS = ("trainer.steps=24", "evaluation.every=12", "checkpoint.every=4")


def checkpoint(run_dir: Path, step: int) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(run_dir / "checkpoints" / f"step-{step:06d}.ckpt", weights_only=True)
    return loaded


def assert_bit_equal(a: Any, b: Any, where: str = "") -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_bit_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_bit_equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


@pytest.mark.parametrize("algorithm", ["igrpo", "grpo"])
def test_kill_9_and_resume_is_bit_equal_to_an_uninterrupted_run(tmp_path: Path, algorithm: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = (*STEPS, f"algorithm={algorithm}")
    runs.run(runs.train(tmp_path, "whole", *settings), tmp_path)

    process = runs.start(runs.train(tmp_path, "killed", *settings), tmp_path)
    runs.wait_until(process, lambda: runs.steps_done(killed) >= 10)
    process.kill()
    runs.finish(process)
    assert json.loads((killed / "run.json").read_text())["status"] == "RUNNING"  # nobody was left to write it
    reached = runs.steps_done(killed)
    assert reached < 24, "killed too late to prove anything"

    output = runs.run(["train", f"resume={killed}"], tmp_path)
    assert f"resuming after step {reached // 4 * 4} of 24" in output

    a, b = checkpoint(whole, 24), checkpoint(killed, 24)
    assert_bit_equal(a["state_dict"], b["state_dict"], "weights")
    assert_bit_equal(a["optimizer_states"], b["optimizer_states"], "optimizer")
    assert runs.rollouts(whole) == runs.rollouts(killed)  # questions seen, tokens sampled, scores
    assert runs.metrics(whole) == runs.metrics(killed)
    for path in sorted((whole / "evaluations").glob("test-*.json")):
        assert json.loads(path.read_text()) == json.loads((killed / "evaluations" / path.name).read_text())
    assert runs.status(killed) == "FINISHED"
    counted = ("samples", "tokens", "single_shot", "draft_conditioned", "entropy")
    assert {k: runs.summary(whole)[k] for k in counted} == {k: runs.summary(killed)[k] for k in counted}


def test_a_broken_newest_checkpoint_falls_back_with_a_word_and_more_steps_may_follow(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    runs.run(runs.train(tmp_path, "run", "tracking=none"), tmp_path)
    newest = run_dir / "checkpoints" / "step-000006.ckpt"
    newest.write_bytes(newest.read_bytes()[:-2000])
    output = runs.run(["train", f"resume={run_dir}", "trainer.steps=7"], tmp_path)
    assert "step-000006.ckpt is broken" in output.replace("\n", "")
    assert "resuming after step 4 of 7" in output
    assert runs.steps_done(run_dir) == 7


def test_ctrl_c_says_how_to_go_on_and_a_second_process_is_refused(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = runs.start(runs.train(tmp_path, "run", "trainer.steps=500"), tmp_path)
    runs.wait_until(process, lambda: runs.steps_done(run_dir) >= 2)
    refused = runs.run(["train", f"resume={run_dir}"], tmp_path, code=2)
    assert "is in use by" in refused
    process.send_signal(signal.SIGINT)
    output = runs.finish(process)
    assert process.returncode == 130, output
    assert f"igrpo train resume={run_dir}" in output.replace("\n", "")
    assert "Traceback" not in output
    assert runs.status(run_dir) == "KILLED"
