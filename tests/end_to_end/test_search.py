"""A search over the learning rate: its failures, how it goes on, and the comparison that it feeds."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.runs import finish, run_here, start, steps_done, summary, wait_until
from tests.end_to_end.sweeps import BREAKS, began, folders, in_mlflow, resume, states, sweep, written

pytestmark = pytest.mark.slow

SEARCH = ("sweep=search_lr", "condition=grpo", "tracking.example_questions=0")


def best(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "sweep" / "search.json").read_text())
    return found


def test_a_search_whose_trials_all_fail(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_here(sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=2", "prompt.max_question_tokens=2"), code=1)
    run_here(resume(tmp_path), code=1)
    printed = capfd.readouterr()
    assert states(tmp_path) == ["FAILED"] * 2
    assert not (tmp_path / "sweep" / "search.json").exists()
    found = [line for line in printed.err.splitlines() if "none of its trials finished" in line]
    assert len(found) == 2, "once for each time"
    assert all("prompt.max_question_tokens=2" in line and "(2 of 2)" in line for line in found)


def test_a_search_whose_picks_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picks = ("sweep=search_lr", "algorithm=igrpo", "algorithm.drafts=range(4,9)", "hydra.sweeper.n_trials=2")
    run_here(sweep(tmp_path, *picks), code=1)
    run_here(resume(tmp_path), code=1)
    assert states(tmp_path) == ["FAILED"] * 2
    printed = capfd.readouterr()
    assert "completions_per_question=4 leaves" in printed.err
    assert all("algorithm.drafts=" in (folder / "log.txt").read_text() for folder in folders(tmp_path))


def test_a_search_goes_on_and_feeds_a_comparison(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_here(sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=2"))
    assert states(tmp_path) == ["FINISHED"] * 2
    first = [trial["settings"]["trainer.learning_rate"] for trial in best(tmp_path)["trials"]]
    kept = written(*folders(tmp_path))

    run_here(resume(tmp_path, "hydra.sweeper.n_trials=3"))
    assert states(tmp_path) == ["FINISHED"] * 3
    assert kept == written(*folders(tmp_path)[:2])
    found = best(tmp_path)
    rates = [trial["settings"]["trainer.learning_rate"] for trial in found["trials"]]
    assert rates[:2] == first
    assert len(set(rates)) == 3, "a search that goes on picks new values"
    accuracies = [trial["development_accuracy"] for trial in found["trials"]]
    assert found["development_accuracy"] == max(accuracies)
    assert found["best"] == found["trials"][accuracies.index(max(accuracies))]["settings"]
    for folder, accuracy in zip(folders(tmp_path), accuracies, strict=True):
        kept_evaluation = json.loads((folder / "evaluations" / "development-000002.json").read_text())
        assert kept_evaluation["single_shot"]["value"] == accuracy, "chosen on the development split"
    parent, cells = in_mlflow(tmp_path)
    assert (parent.info.status, len(cells)) == ("FINISHED", 3)
    capfd.readouterr()

    (comparison := tmp_path / "comparison").mkdir()
    grid = ("condition=grpo,grpo_half,igrpo", "seed=0", f"tuned={tmp_path / 'sweep'}", "--check")
    run_here(sweep(comparison, *grid), code=2)
    assert "tuned: no search fits condition igrpo" in capfd.readouterr().err
    run_here(sweep(comparison, "condition=grpo,grpo_half", "seed=0", f"tuned={tmp_path / 'sweep'}"))
    rate = float(found["best"]["trainer.learning_rate"])
    for folder in folders(comparison):
        (used,) = [
            float(line.split()[-1])
            for line in (folder / "config.yaml").read_text().splitlines()
            if "learning_rate:" in line and "warm" not in line
        ][-1:]
        assert used == rate, "half of the budget takes the rate of its algorithm"
    assert summary(folders(comparison)[0])["algorithm"] == "grpo"


def test_a_failing_trial_and_a_killed_search(tmp_path: Path) -> None:
    breaks = ("trainer.learning_rate=3e-4", BREAKS, "hydra.sweeper.n_trials=3")
    run_here(sweep(tmp_path, *SEARCH, *breaks), code=1)
    assert len(states(tmp_path)) == 3, "a failure does not end a search"
    assert set(states(tmp_path)) == {"FAILED", "FINISHED"}

    (killed := tmp_path / "killed").mkdir()
    arguments = sweep(killed, *SEARCH, "hydra.sweeper.n_trials=2", "trainer.steps=12", "checkpoint.every=1")
    process = start(arguments, killed)
    wait_until(process, lambda: began(killed) and bool(folders(killed)) and steps_done(folders(killed)[0]) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    assert states(killed) == ["KILLED"]
    run_here(resume(killed))
    assert states(killed) == ["FINISHED"] * 2
