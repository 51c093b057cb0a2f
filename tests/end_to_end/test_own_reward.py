"""A reward of the user's own through the whole program: a plain function, and one that has a score now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import runs

pytestmark = pytest.mark.slow

REWARDS = """
import numpy as np

def right(question, completions):
    return np.array([c.text.endswith("\\\\boxed{%s}" % question.answer) for c in completions], dtype=np.float32)

class Never:
    name = "never"

    def score(self, question, completions):
        return [None for _ in completions]

    def close(self): ...
"""


def small_run(folder: Path, target: str) -> tuple[Path, str, list[dict[str, Any]]]:
    (folder / "my_reward.py").write_text(REWARDS)
    run_dir = folder / "run"
    own = ("reward=python", f"reward.target=my_reward:{target}", f"hydra.run.dir={run_dir}", "trainer.steps=2")
    output = runs.run(["train", *runs.SMALL, *own, "evaluation.every=1"], folder)
    return run_dir, output, runs.metrics(run_dir)


def test_a_plain_function_is_a_reward_with_real_accuracies(tmp_path: Path) -> None:
    run_dir, output, _ = small_run(tmp_path, "right")
    assert "Traceback" not in output
    steps = runs.training_steps(run_dir)
    for line in steps:
        # of 1 and 0, the reward is the share of right answers
        assert line["draft/accuracy"] == pytest.approx(line["draft/reward_mean"])
        assert line["draft/outcome/right"] == pytest.approx(line["draft/reward_mean"])
    summary = runs.summary(run_dir)
    assert summary["single_shot"]["after"] is not None
    trained = [line["draft/reward_mean"] for line in steps]
    assert max(*trained, summary["single_shot"]["after"]) > 0
    rollouts = runs.rollouts(run_dir)
    verdicts = {one["score"]["correct"] for line in rollouts for one in line["samples"]}
    assert verdicts <= {True, False}


def test_a_reward_that_never_has_a_score_ends_no_run(tmp_path: Path) -> None:
    run_dir, output, lines = small_run(tmp_path, "Never")
    assert "Traceback" not in output
    assert "no reward" in output
    assert "could score none of its" in " ".join(output.split())
    assert not [name for line in lines for name in line if name.endswith(("reward_mean", "accuracy"))]
    summary = runs.summary(run_dir)
    assert (summary["steps"], summary["single_shot"]["after"]) == (2, None)
    assert not (run_dir / "checkpoints" / "best.json").exists()
    assert runs.status(run_dir) == "FINISHED"
    assert "could score none of its answers" in " ".join(runs.run(["report", str(run_dir)], tmp_path, code=2).split())
