"""Budgets from the command line: where a run ends, that it is the longer run's beginning, and how it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end import runs
from tests.end_to_end.checkpoints import assert_same_training

pytestmark = pytest.mark.slow

STEP = 16  # samples: 4 questions of 4
#: The bonus gives every step a gradient, whatever the rewards of so small a model are.
SETTINGS = ("tracking=none", "checkpoint.every=1", "checkpoint.keep_last=20", "objective.entropy_bonus=0.01")


def counters(run_dir: Path, name: str) -> list[float]:
    """``budget/NAME`` after each step, in order."""
    return [line[f"budget/{name}"] for line in runs.training_steps(run_dir)]


def asked_test_split(run_dir: Path) -> list[int]:
    """The steps at which the test split was asked."""
    return sorted(int(path.stem.rpartition("-")[2]) for path in (run_dir / "evaluations").glob("test-*.json"))


def test_each_limit_ends_a_run_which_a_higher_limit_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, run_dir = tmp_path / "whole", tmp_path / "run"
    runs.run_here(runs.train(tmp_path, "whole", *SETTINGS, "trainer.steps=5", "evaluation.every=5"))
    assert runs.summary(whole)["stopped_by"] is None
    assert runs.summary(whole)["flops"] == counters(whole, "flops")[-1]
    assert runs.summary(whole)["parameters"] > 1000
    assert runs.summary(whole)["hardware"].startswith("CPU (")
    capsys.readouterr()

    # samples: 16, 32, 48: a limit of 33 is reached after step 3
    limited = (*SETTINGS, "trainer.steps=5", "evaluation.every=2")
    runs.run_here(runs.train(tmp_path, "run", *limited, f"budget.max_samples={2 * STEP + 1}"))
    text = " ".join(capsys.readouterr().out.split())
    assert "after 3 steps, 48 samples" in text
    assert "steps 3 · stopped by budget.max_samples" in text
    assert "FLOPs" in text
    assert runs.status(run_dir) == "FINISHED"
    summary = runs.summary(run_dir)
    assert (summary["steps"], summary["stopped_by"], summary["samples"]) == (3, "budget.max_samples", 3 * STEP)
    assert summary["flops"] == counters(whole, "flops")[2]  # two more evaluations cost it nothing
    assert summary["single_shot"]["after"] is not None
    assert asked_test_split(run_dir) == [0, 3]
    assert_same_training(whole, run_dir, 3)

    runs.run_here(["train", f"resume={run_dir}"])
    assert "budget.max_samples ended it after 3 of 5 steps" in capsys.readouterr().out
    runs.run_here(["train", f"resume={run_dir}", f"budget.max_samples={STEP}"], code=2)
    assert f"budget.max_samples=16: {run_dir} reached this limit after step 1" in capsys.readouterr().err

    # another limit ends it a step later; without any it does all its steps
    tokens = int(counters(whole, "generated_tokens")[3])
    runs.run_here(["train", f"resume={run_dir}", "budget.max_samples=null", f"budget.max_generated_tokens={tokens}"])
    assert "resuming after step 3 of 5" in capsys.readouterr().out
    summary = runs.summary(run_dir)
    assert (summary["steps"], summary["stopped_by"]) == (4, "budget.max_generated_tokens")
    assert_same_training(whole, run_dir, 4)
    runs.run_here(["train", f"resume={run_dir}", "budget.max_generated_tokens=null"])
    summary = runs.summary(run_dir)
    assert (summary["steps"], summary["stopped_by"], summary["samples"]) == (5, None, 5 * STEP)
    assert asked_test_split(run_dir) == [0, 3, 4, 5]
    assert_same_training(whole, run_dir, 5)
    last = {name: runs.summary(each)["single_shot"]["after"] for name, each in (("a", whole), ("b", run_dir))}
    assert last["a"] == last["b"]


def test_operations_and_seconds_end_runs_too(tmp_path: Path) -> None:
    settings = (*SETTINGS, "trainer.steps=9", "evaluation.every=9", "evaluation.greedy=false")
    runs.run_here(runs.train(tmp_path, "seconds", *settings, "budget.max_seconds=0.0001"))
    summary = runs.summary(tmp_path / "seconds")
    assert (summary["steps"], summary["stopped_by"]) == (1, "budget.max_seconds")
    first = counters(tmp_path / "seconds", "flops")[0]
    runs.run_here(runs.train(tmp_path, "flops", *settings, f"budget.max_flops={first + 1:.1f}"))
    spent = counters(tmp_path / "flops", "flops")
    assert (len(spent), spent[0]) == (2, first)
    assert runs.summary(tmp_path / "flops")["stopped_by"] == "budget.max_flops"
    assert_same_training(tmp_path / "flops", tmp_path / "seconds", 1)


def test_two_algorithms_are_matched_by_what_they_generate(tmp_path: Path) -> None:
    limit, longest = 900, STEP * 24  # tokens a step at most
    for name in ("grpo", "igrpo"):
        settings = (f"algorithm={name}", *SETTINGS, "trainer.steps=60", "evaluation.every=60")
        runs.run_here(runs.train(tmp_path, name, *settings, f"budget.max_generated_tokens={limit}"))
        spent = counters(tmp_path / name, "generated_tokens")
        assert spent[-2] < limit <= spent[-1] < limit + longest
        assert runs.summary(tmp_path / name)["tokens"]["generated"] == spent[-1]
        assert runs.summary(tmp_path / name)["steps"] == len(spent) < 60
