"""Each condition of the comparison, from the command line to its summary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end import runs

pytestmark = pytest.mark.slow

#: (role, trained, samples) of each round, with four completions per question in the budget.
SAMPLED = {
    "grpo": [("answer", True, 4)],
    "igrpo": [("draft", False, 2), ("refinement", True, 2)],
    "grpo_half": [("answer", True, 2)],
    "bare": [("answer", True, 4)],
    "best_of_n": [("answer", True, 4)],
}


def test_every_condition_runs_to_its_end(tmp_path: Path) -> None:
    directories = {name: tmp_path / name for name in SAMPLED}
    for name in SAMPLED:
        runs.run_here(runs.train(tmp_path, name, f"condition={name}", "trainer.steps=3", "tracking=none"))
    for name, run_dir in directories.items():
        for trace in runs.rollouts(run_dir):
            assert runs.shape(trace) == SAMPLED[name]
        summary = runs.summary(run_dir)
        assert summary["samples"] == 3 * 4 * (2 if name == "grpo_half" else 4)
        assert set(summary["entropy"]) == {role for role, _, _ in SAMPLED[name]}
        assert summary["single_shot"]["after"] is not None
    # the same questions from the same weights
    asked = [[trace["question"]["id"] for trace in runs.rollouts(path)] for path in directories.values()]
    assert asked == [asked[0]] * len(SAMPLED)
    before = [json.loads((path / "evaluations" / "test-000000.json").read_text()) for path in directories.values()]
    assert before == [before[0]] * len(SAMPLED)
