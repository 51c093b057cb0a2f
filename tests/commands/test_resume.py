"""`igrpo train resume=RUN_DIR`: what it keeps, what it may change, what it refuses."""

import json
import os
from pathlib import Path

import pytest
import yaml

from igrpo.cli import main
from igrpo.config import read_config
from igrpo.tracking.run_lock import run_lock
from tests.commands.conftest import FakeTraining


def resumable(training: FakeTraining, tmp_path: Path) -> Path:
    assert main(["train", "trainer.steps=4"]) == 0
    training.calls.clear()
    return next(tmp_path.glob("runs/*/*"))


def test_resume_goes_on_with_the_kept_settings(training: FakeTraining, tmp_path: Path) -> None:
    run_dir = resumable(training, tmp_path)
    kept = (run_dir / "config.yaml").read_text()
    assert main(["train", f"resume={run_dir.relative_to(tmp_path)}"]) == 0
    ((config, path, resume),) = training.calls
    assert (config.trainer.steps, path, resume) == (4, run_dir, True)
    assert (run_dir / "config.yaml").read_text() == kept
    assert not (run_dir / "config.previous.yaml").exists()


def test_resume_may_change_a_few_settings_and_keeps_the_old_ones(training: FakeTraining, tmp_path: Path) -> None:
    run_dir = resumable(training, tmp_path)
    changes = ["trainer.steps=9", "trainer.device=auto", "tracking.uri=null", "checkpoint.every=1"]
    assert main(["train", f"resume={run_dir}", *changes]) == 0
    trainer, tracking = training.calls[0][0].trainer, training.calls[0][0].tracking
    assert (trainer.steps, trainer.device, tracking.uri) == (9, "auto", None)
    assert read_config(run_dir / "config.yaml") == training.calls[0][0]
    assert yaml.safe_load((run_dir / "config.previous.yaml").read_text())["trainer"]["steps"] == 4


REFUSED = {
    "seed=1": "seed=1: resume may change only trainer.steps, trainer.device, tracking.uri, tracking.experiment, ",
    "trainer.threads=2": "trainer.threads=2: resume may change only ",
    "algorithm=grpo": "algorithm=grpo: resume may change only ",
    "experiment=quickstart": "experiment=quickstart: resume may change only ",
    "trainer=gpu": "trainer=gpu: resume may change only ",
    "trainer.steps=1,2": "trainer.steps=1,2: resume may change only ",
    "+trainer.steps=3": "+trainer.steps=3: resume may change only ",
    "~trainer.steps": "~trainer.steps: resume may change only ",
    "checkpoint.evry=1": "checkpoint.evry: no such setting; did you mean 'checkpoint.every'?",
    "trainer.steps": "'trainer.steps' is no setting: write KEY=VALUE",
}


def test_resume_refuses_the_rest(training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = resumable(training, tmp_path)
    capsys.readouterr()
    kept = (run_dir / "config.yaml").read_text()
    assert main(["train", f"resume={run_dir}", *REFUSED]) == 2
    problems = capsys.readouterr().err.splitlines()
    assert problems[0] == f"igrpo: resume has {len(REFUSED)} problems:"
    for problem, start in zip(problems[1:], REFUSED.values(), strict=True):
        assert problem.startswith(f"  - {start}")
    assert main(["train", f"resume={run_dir}", "trainer.steps=none"]) == 2
    assert "trainer.steps='none': input should be a valid integer" in capsys.readouterr().err
    assert training.calls == []
    assert (run_dir / "config.yaml").read_text() == kept


def test_resume_of_a_run_that_is_worked_on(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = resumable(training, tmp_path)
    with run_lock(run_dir):
        assert main(["train", f"resume={run_dir}", "trainer.steps=9"]) == 2
    assert f"is in use by process {os.getpid()}" in capsys.readouterr().err
    assert read_config(run_dir / "config.yaml").trainer.steps == 4
    assert training.calls == []


def test_a_note_of_a_killed_process_on_another_host_is_no_lock(training: FakeTraining, tmp_path: Path) -> None:
    run_dir = resumable(training, tmp_path)
    mark = {"host": "old-container", "pid": 7, "started": 1.0, "pid_namespace": "pid:[1]"}
    (run_dir / ".lock.json").write_text(json.dumps(mark))
    assert main(["train", f"resume={run_dir}"]) == 0
    assert len(training.calls) == 1


def test_the_next_command_puts_a_killed_run_right(training: FakeTraining, tmp_path: Path) -> None:
    run_dir = resumable(training, tmp_path)
    record = json.loads((run_dir / "run.json").read_text())
    # what kill -9 leaves: RUNNING, and a process that started at another time than this one
    (run_dir / "run.json").write_text(json.dumps(record | {"status": "RUNNING", "pid_started": 1.0}))
    assert main(["train", "--check"]) == 0
    assert json.loads((run_dir / "run.json").read_text())["status"] == "KILLED"
