"""Sweeps one run after the other: what is printed, what is kept, and what a resumed sweep does."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.runs import finish, metrics, run, run_here, start, status, steps_done, wait_until
from tests.end_to_end.sweeps import BREAKS, artifacts, began, folders, in_mlflow, resume, states, sweep, written


def test_a_grid_whose_settings_exist_for_some_choices(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    grid = ("algorithm=grpo,igrpo", "algorithm.drafts=1,2")
    run_here(sweep(tmp_path, *grid, "--plan"))
    planned = capfd.readouterr().out
    run_here(sweep(tmp_path, *grid))
    printed = capfd.readouterr().out
    for shown in (planned, printed):
        assert "algorithm.drafts where algorithm=grpo; 4 combinations are 3 runs" in shown
        assert "3 (3 combinations, 1 seed each)" in shown
        assert "96 in training" in shown  # 3 runs x 2 steps x 4 questions x 4 completions
    assert [folder.name for folder in folders(tmp_path)] == ["000-grpo", "001-igrpo_drafts-1", "002-igrpo_drafts-2"]
    assert states(tmp_path) == ["FINISHED"] * 3
    report = json.loads((tmp_path / "sweep" / "report" / "report.json").read_text())
    names = [condition["name"] for condition in report["conditions"]]
    assert names == ["grpo", "igrpo drafts=1", "igrpo drafts=2"]
    assert [cell.info.run_name for cell in in_mlflow(tmp_path)[1]] == ["grpo", "igrpo drafts=1", "igrpo drafts=2"]
    before = written(*folders(tmp_path))
    run_here(resume(tmp_path))
    assert "3 of 3 runs are finished already" in capfd.readouterr().out
    assert written(*folders(tmp_path)) == before


def test_a_grid(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_here(sweep(tmp_path, "condition=grpo,igrpo", "seed=0,1"))
    printed = capfd.readouterr().out
    assert "run 3: condition=igrpo seed=1" in printed
    assert "4 (2 combinations, 2 seeds each)" in printed
    assert "128 in training" in printed  # 4 runs x 2 steps x 4 questions x 4 completions
    assert "give it more seeds (seed=0,1,2,3,4)" in " ".join(printed.split())
    assert states(tmp_path) == ["FINISHED"] * 4
    report = json.loads((tmp_path / "sweep" / "report" / "report.json").read_text())
    assert {condition["name"] for condition in report["conditions"]} == {"grpo", "igrpo"}
    assert (tmp_path / "sweep" / "report" / "report.html").is_file()

    parent, cells = in_mlflow(tmp_path)
    assert parent.info.status == "FINISHED"
    assert [cell.info.run_name for cell in cells] == ["grpo s0", "grpo s1", "igrpo s0", "igrpo s1"]
    assert [(cell.data.params["condition"], cell.data.params["seed"]) for cell in cells] == [
        ("grpo", "0"), ("grpo", "1"), ("igrpo", "0"), ("igrpo", "1"),
    ]  # fmt: skip
    assert {cell.info.status for cell in cells} == {"FINISHED"}
    assert {"report/report.html", "report/report.json"} <= artifacts(tmp_path, "report")
    assert artifacts(tmp_path, "tables") == {"tables/runs.json"}
    assert "viewStateShareKey" in printed

    before = written(*folders(tmp_path))
    run_here(resume(tmp_path))
    assert "4 of 4 runs are finished already" in capfd.readouterr().out
    assert written(*folders(tmp_path)) == before, "a finished run is never touched again"
    assert len(in_mlflow(tmp_path)[1]) == 4
    assert in_mlflow(tmp_path)[0].info.status == "FINISHED"

    run_here(resume(tmp_path, "trainer.steps=3"))
    assert [steps_done(folder) for folder in folders(tmp_path)] == [3] * 4, "all runs of a comparison are prolonged"
    assert states(tmp_path) == ["FINISHED"] * 4


def test_a_failing_run_leaves_the_others_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_here(sweep(tmp_path, BREAKS, "seed=0", "condition=igrpo"), code=1)
    printed = capfd.readouterr()
    assert states(tmp_path) == ["FAILED", "FINISHED"]
    assert "the train split has no question" in printed.err, "named at once"
    at_end = printed.out.index("run 0 (")
    assert printed.out.index("run 1 of 2") < at_end, "named once more at the end"
    assert "failed: the train split has no question" in printed.out[at_end:]
    assert f"resume={tmp_path / 'sweep'}" in printed.out
    parent, cells = in_mlflow(tmp_path)
    assert parent.info.status == "FAILED"
    assert sorted(cell.info.status for cell in cells) == ["FAILED", "FINISHED"]

    done = folders(tmp_path)[1]
    kept = written(done)
    run_here(resume(tmp_path), code=1)  # it fails again
    assert written(done) == kept
    assert "1 of 2 runs are finished already" in capfd.readouterr().out


@pytest.mark.slow
def test_kill_9_and_resume_equal_a_sweep_that_was_never_stopped(tmp_path: Path) -> None:
    (whole := tmp_path / "whole").mkdir()
    (killed := tmp_path / "killed").mkdir()
    grid = ("condition=grpo,igrpo", "seed=3", "trainer.steps=6", "checkpoint.every=1")
    run(sweep(whole, *grid), whole)
    process = start(sweep(killed, *grid), killed)
    wait_until(process, lambda: began(killed) and steps_done(folders(killed)[1]) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    assert states(killed) == ["FINISHED", "KILLED"]

    first = written(folders(killed)[0])
    output = run(resume(killed), killed)
    assert "1 of 2 runs are finished already" in output
    assert written(folders(killed)[0]) == first
    for mine, theirs in zip(folders(killed), folders(whole), strict=True):
        assert metrics(mine) == metrics(theirs)
        assert status(mine) == "FINISHED"
    parent, cells = in_mlflow(killed)
    assert parent.info.status == "FINISHED"
    assert [cell.info.status for cell in cells] == ["FINISHED"] * 2, "nothing doubled, nothing left running"


def test_what_resuming_a_sweep_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_here(sweep(tmp_path, "seed=0,1", "tracking=none"))
    for overrides, message in (
        (["sweep=kl"], "sweep=kl: this is a sweep 'sweep'"),
        (["trainer.learning_rate=1"], "resuming may change only"),
    ):
        run_here(resume(tmp_path, *overrides), code=2)
        assert message in capfd.readouterr().err
    run_here(["train", f"resume={tmp_path}", "sweep=kl"], code=2)
    assert "no sweep there" in capfd.readouterr().err


def test_a_plan_prints_a_measured_time_and_starts_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [text for text in sweep(tmp_path, "seed=0,1,2") if text != "--no-measure"]
    run_here([*arguments, "--plan"])
    printed = capfd.readouterr().out
    assert "estimated time: " in printed
    assert "a measured step takes 0." in printed
    assert not (tmp_path / "sweep").exists()
