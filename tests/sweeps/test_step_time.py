"""What is run to estimate a run's time: every evaluation anew, and no profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from igrpo.config import RunConfig
from igrpo.sweeps import step_time
from tests.composed import config


def test_a_measured_run_reuses_nothing_and_profiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RunConfig] = []

    def train(settings: RunConfig, run_dir: Path, *, resume: bool) -> dict[str, Any]:
        seen.append(settings)
        run_dir.mkdir()
        line = {"budget/samples": 8, "step_seconds/update": 0.5}
        (run_dir / "metrics.jsonl").write_text(2 * f"{json.dumps(line)}\n")
        return {"seconds": {"evaluation": 8.0}}

    monkeypatch.setattr(step_time, "train", train)
    measured = step_time.measure_step(config({"evaluation.reuse_first": True, "profile": True}))
    assert (seen[0].evaluation.reuse_first, seen[0].profile, seen[0].tracking.uri) == (False, False, None)
    assert (measured.step, measured.question) == (0.5, 8.0 / (4 * 8))
