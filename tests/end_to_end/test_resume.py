"""A run that was killed and resumed is the run that was not: bit by bit."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.run_tracking import tracking_uri
from igrpo.training.checkpoints import newest_checkpoint
from tests.composed import config as composed
from tests.end_to_end import runs
from tests.end_to_end.checkpoints import assert_bit_equal, checkpoint, checkpoint_file

pytestmark = pytest.mark.slow

#: The killed run would go on for ever, so that no kill comes too late; resuming says where it ends.
ENDLESS = ("trainer.steps=100000", "evaluation.every=4", "checkpoint.every=3")


def assert_same_run(whole: Path, resumed: Path, steps: int) -> None:
    """Weights, optimizer, questions seen, tokens sampled, scores, measurements and evaluations."""
    a, b = checkpoint(whole, steps), checkpoint(resumed, steps)
    assert_bit_equal(a["state_dict"], b["state_dict"], "weights")
    assert_bit_equal(a["optimizer_states"], b["optimizer_states"], "optimizer")
    assert len(runs.rollouts(whole)) == steps * 4  # questions a step
    assert runs.rollouts(whole) == runs.rollouts(resumed)
    assert runs.metrics(whole) == runs.metrics(resumed)
    evaluations = sorted(path.name for path in (whole / "evaluations").iterdir())
    assert evaluations == sorted(path.name for path in (resumed / "evaluations").iterdir())
    for name in evaluations:
        assert json.loads((whole / "evaluations" / name).read_text()) == json.loads(
            (resumed / "evaluations" / name).read_text()
        )
    counted = ("samples", "tokens", "single_shot", "draft_conditioned", "entropy", "steps")
    assert runs.summary(whole)["tokens"]["trained"] > 0
    assert {k: runs.summary(whole)[k] for k in counted} == {k: runs.summary(resumed)[k] for k in counted}


def test_kill_9_and_resume_is_bit_equal_to_an_uninterrupted_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    algorithms = ("igrpo", "grpo")
    killed = {name: tmp_path / f"killed-{name}" for name in algorithms}
    started = {
        name: runs.start(runs.train(tmp_path, killed[name].name, f"algorithm={name}", *ENDLESS), tmp_path)
        for name in algorithms
    }
    for name, process in started.items():
        runs.wait_until(process, lambda run_dir=killed[name]: runs.steps_done(run_dir) >= 8)
        process.send_signal(
            signal.SIGSTOP
        )  # not killed before both have begun: who begins puts the dead's status right
    for process in started.values():
        process.kill()
        runs.finish(process)

    records = [json.loads((run_dir / "run.json").read_text()) for run_dir in killed.values()]
    assert [record["status"] for record in records] == ["RUNNING"] * 2  # nobody was left to write how they ended

    for name, run_dir in killed.items():
        newest = newest_checkpoint(run_dir / "checkpoints")
        assert newest is not None
        assert newest.step >= 6
        steps = runs.steps_done(run_dir) + 3
        capsys.readouterr()
        runs.run_here(["train", f"resume={run_dir}", f"trainer.steps={steps}"])
        assert f"resuming after step {newest.step} of {steps}" in capsys.readouterr().out
        assert runs.status(run_dir) == "FINISHED"

        settings = (f"algorithm={name}", *ENDLESS, f"trainer.steps={steps}", "tracking=none")
        runs.run_here(runs.train(tmp_path, f"whole-{name}", *settings))
        assert_same_run(tmp_path / f"whole-{name}", run_dir, steps)


def test_a_broken_newest_checkpoint_falls_back_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    runs.run_here(runs.train(tmp_path, "run", "tracking=none"))
    newest = checkpoint_file(run_dir, 6)
    newest.write_bytes(newest.read_bytes()[:-2000])
    runs.run_here(["train", f"resume={run_dir}", "trainer.steps=7"])
    assert f"{newest} is broken (BadZipFile" in (run_dir / "log.txt").read_text()
    assert "resuming after step 4 of 7" in capsys.readouterr().out

    # the run is over and its last checkpoint whole: more steps go on from there, fewer are a mistake
    runs.run_here(["train", f"resume={run_dir}", "trainer.steps=9"])
    assert "resuming after step 7 of 9" in capsys.readouterr().out
    assert {line["step"] for line in runs.rollouts(run_dir)} == set(range(1, 10))
    assert runs.summary(run_dir)["steps"] == 9
    assert runs.summary(run_dir)["samples"] == 9 * 16
    runs.run_here(["train", f"resume={run_dir}"])
    assert "already finished (9 steps)" in capsys.readouterr().out
    runs.run_here(["train", f"resume={run_dir}", "trainer.steps=2"], code=2)
    assert f"trainer.steps=2: {run_dir} has completed 9 steps" in capsys.readouterr().err
    assert runs.summary(run_dir)["steps"] == 9


def test_ctrl_c_says_how_to_resume_and_a_held_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    process = runs.start(runs.train(tmp_path, "run", "trainer.steps=100000", "evaluation.every=50000"), tmp_path)
    runs.wait_until(process, lambda: runs.steps_done(run_dir) >= 2)
    runs.run_here(["train", f"resume={run_dir}"], code=2)
    assert "is in use by" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    output = runs.finish(process)
    assert process.returncode == 130, output
    assert f"igrpo train resume={run_dir}" in output.replace("\n", "")
    assert "Traceback" not in output
    assert runs.status(run_dir) == "KILLED"


def test_a_relative_database_stays_where_the_run_began(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    directory.begin()
    directory.attach_mlflow("sqlite:////first/mlflow.db", "1", "abc")
    relative = composed({"tracking.uri": "sqlite:///mlflow.db"})
    other = composed({"tracking.uri": "sqlite:////other/mlflow.db"})
    assert tracking_uri(relative, directory, resume=True) == "sqlite:////first/mlflow.db"
    assert tracking_uri(relative, directory, resume=False) == "sqlite:///mlflow.db"
    assert tracking_uri(other, directory, resume=True) == "sqlite:////other/mlflow.db"
    assert tracking_uri(composed({"tracking.uri": None}), directory, resume=True) is None
