"""A run whose development split is evaluated by need: what it logs and prints, and that resuming it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end import runs
from tests.end_to_end.checkpoints import forget_end

pytestmark = pytest.mark.slow

SETTINGS = ("evaluation.samples=4", "evaluation.interval_width=0.9", "evaluation.every=1", "trainer.steps=2",
            "checkpoint.every=1", "tracking=none")  # fmt: skip


def test_the_development_split_stops_and_the_test_split_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    runs.run_here(runs.train(tmp_path, "run", *SETTINGS))
    said = " ".join(capsys.readouterr().out.split())
    assert "single-shot, mean of 4" in said
    assert "single-shot, greedy" not in said

    lines = runs.metrics(run_dir)
    seen = {
        split: [line for line in lines if f"{split}/single_shot/accuracy" in line] for split in ("development", "test")
    }
    assert [len(found) for found in seen.values()] == [3, 2]
    assert {line["development/single_shot/samples"] for line in seen["development"]} == {2.0}
    assert {line["test/single_shot/samples"] for line in seen["test"]} == {4.0}
    assert not any(name.startswith("development/") and name.endswith("_at_k") for line in lines for name in line)
    assert all("test/single_shot/pass_at_k" in line for line in seen["test"])
    assert runs.summary(run_dir)["single_shot"]["samples_per_question"] == 4

    last = [run_dir / "evaluations" / f"{split}-000002.json" for split in ("development", "test")]
    first = [runs.read_json(path) for path in last]
    forget_end(run_dir, 2)
    runs.run_here(["train", f"resume={run_dir}"])
    assert [runs.read_json(path) for path in last] == first
