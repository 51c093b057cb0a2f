"""The worth of a draft from the command line: on the console, in log.txt, metrics.jsonl, summary.json and MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end import runs
from tests.end_to_end.checkpoints import forget_end

pytestmark = pytest.mark.slow

#: Answers before training are right but for one of each question's; what comes after them is wrong.
SETTINGS = ("reward=python", "reward.target=tests.own_rewards:RightAtFirst", "evaluation.greedy=false",
            "evaluation.samples=3", "evaluation.every=1", "trainer.steps=2")  # fmt: skip
LINE = "a draft's worth before training: 0 % right given a right draft (-50.0 points), 0 % right given a wrong draft"
TAG = "igrpo.alarm.draft_worth"
WARNING = "a right draft does not raise the accuracy of this model with prompt=tiny"


def test_worthless_drafts_are_told_everywhere_and_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    runs.run_here(runs.train(tmp_path, "run", *SETTINGS, "checkpoint.every=1"))
    said = " ".join(capsys.readouterr().out.split())
    assert said.count(LINE) == 1
    assert said.count(WARNING) == 1
    assert "given a right draft 0.0 % -" in said  # of the test split; after training no answer is right
    assert "a right draft adds -50.0 -" in said
    logged = (run_dir / "log.txt").read_text(encoding="utf-8")
    assert logged.count(LINE) == 1
    assert logged.count(WARNING) == 1
    assert runs.tags(run_dir)[TAG].startswith(f"before training: {WARNING}")

    given = [
        {name: value for name, value in line.items() if name.startswith("development/") and "_given_" in name}
        for line in runs.metrics(run_dir)
    ]
    before = {"right_given_right": 0.0, "gain_given_right": -0.5, "right_given_wrong": 0.0, "gain_given_wrong": -1.0}
    assert given[0] == {f"development/draft_conditioned/{name}": value for name, value in before.items()}
    assert "development/draft_conditioned/right_given_right" not in given[-1]  # there is no right draft
    worth = runs.summary(run_dir)["draft_worth"]
    assert worth["before"]["given_right"] == {
        "drafts": 16, "right": 0.0, "gain": {"value": -0.5, "low": None, "high": None},
    }  # fmt: skip
    assert worth["after"]["given_right"] == {"drafts": 0, "right": None, "gain": None}

    # a resumed run has its first evaluation behind it
    forget_end(run_dir, 2)
    runs.run_here(["train", f"resume={run_dir}"])
    again = " ".join(capsys.readouterr().out.split())
    assert LINE not in again
    assert WARNING not in again


def test_who_trains_on_no_draft_is_told_the_worth_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.run_here(runs.train(tmp_path, "run", *SETTINGS, "condition=grpo", "trainer.steps=1"))
    said = " ".join(capsys.readouterr().out.split())
    assert LINE in said
    assert WARNING not in said
    assert TAG not in runs.tags(tmp_path / "run")
