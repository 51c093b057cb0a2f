"""`igrpo train profile=true`: the same run, with its profile beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.checkpoints import interrupted_copy
from tests.end_to_end.runs import metrics, read_json, run_here, train

pytestmark = pytest.mark.slow

#: The entropy bonus gives every row a gradient, whatever the rewards are.
SHORT = (
    "trainer.steps=3", "evaluation.every=2", "model.warm_start.steps=5", "checkpoint.every=1", "tracking=none",
    "objective.entropy_bonus=0.1",
)  # fmt: skip


def names(run_dir: Path) -> set[str]:
    return {path.name for path in (run_dir / "profile").iterdir()}


def test_the_run_is_the_same_and_has_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_here(train(tmp_path, "plain", *SHORT))
    assert not (tmp_path / "plain" / "profile").exists()
    capsys.readouterr()
    run_here(train(tmp_path, "profiled", *SHORT, "profile=true"))
    assert metrics(tmp_path / "profiled") == metrics(tmp_path / "plain")
    assert names(tmp_path / "profiled") == {"phases.json", "phases.txt", "trace-rank0.json.gz"}
    assert (tmp_path / "profiled" / "profile" / "phases.txt").read_text() in capsys.readouterr().out
    found = {one["phase"] for one in read_json(tmp_path / "profiled" / "profile" / "phases.json")["phases"]}
    assert {"evaluation/prefill", "evaluation/decode", "checkpoint", "update/backward", "rollout/decode"} <= found

    resumed = interrupted_copy(tmp_path / "profiled", tmp_path / "resumed", 3)
    run_here(["train", f"resume={resumed}", "profile=true", "profiling.after=0", "profiling.steps=1"])
    assert read_json(resumed / "profile" / "phases.json")["traced_steps"] == [3]
    assert metrics(resumed) == metrics(tmp_path / "plain")


def test_each_process_has_a_trace(tmp_path: Path) -> None:
    several = ("trainer.strategy=ddp", "trainer.devices=2", "profile=true")
    run_here(train(tmp_path, "several", *SHORT, *several))
    assert names(tmp_path / "several") == {"phases.json", "phases.txt", "trace-rank0.json.gz", "trace-rank1.json.gz"}
