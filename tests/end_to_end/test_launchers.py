"""Every launcher starts real runs; with those that work in parallel, a run has a process of its own."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.runs import finish, rollouts, run, start, steps_done, training_steps, wait_until
from tests.end_to_end.sweeps import began, folders, in_mlflow, pid, resume, states, sweep, written

pytestmark = pytest.mark.slow

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
LAUNCHERS = {
    "joblib": JOBLIB,
    "submitit": ("hydra/launcher=submitit_local",),
    "ray": (
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.include_dashboard=false",
    ),
}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_runs_of_a_launcher(tmp_path: Path, name: str) -> None:
    output = run(sweep(tmp_path, "seed=0,1", *LAUNCHERS[name]), tmp_path)
    assert states(tmp_path) == ["FINISHED", "FINISHED"]
    for number in (0, 1):
        assert f"run {number} (s{number}): finished" in output
    assert len({pid(folder) for folder in folders(tmp_path)}) == 2, "a process each"
    parent, cells = in_mlflow(tmp_path)
    assert parent.info.status == "FINISHED"
    assert [(cell.info.run_name, cell.info.status) for cell in cells] == [("s0", "FINISHED"), ("s1", "FINISHED")]


def test_runs_of_several_processes_each(tmp_path: Path) -> None:
    """Two at a time, each with a torchrun and two processes of its own: they meet in places of their own."""
    run(sweep(tmp_path, "seed=0,1", "trainer.strategy=ddp", "trainer.devices=2", *JOBLIB), tmp_path)
    assert states(tmp_path) == ["FINISHED", "FINISHED"]
    for number, folder in enumerate(folders(tmp_path)):
        ends = [json.loads((folder / "ranks" / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
        assert [end["ending"]["kind"] for end in ends] == ["finished", "finished"]
        assert steps_done(folder) == 2
        assert {(trace["step"], trace["attempt"]) for trace in rollouts(folder)} == {(1, 0), (2, 0)}
        assert len(rollouts(folder)) == 2 * 4, f"both processes' shares of run {number}, once"
    assert len({pid(folder) for folder in folders(tmp_path)}) == 2
    assert [cell.info.status for cell in in_mlflow(tmp_path)[1]] == ["FINISHED", "FINISHED"]


def test_kill_9_of_a_run_leaves_the_others_running(tmp_path: Path) -> None:
    grid = ("seed=0,1,2", "trainer.steps=20", "checkpoint.every=1", *JOBLIB)
    process = start(sweep(tmp_path, *grid), tmp_path)
    wait_until(process, lambda: began(tmp_path) and steps_done(folders(tmp_path)[0]) >= 3)
    os.kill(pid(folders(tmp_path)[0]), signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 1, output
    assert states(tmp_path) == ["KILLED", "FINISHED", "FINISHED"]
    assert output.count("run 0 (s0)") >= 2, "named at once and at the end"
    assert "killed by SIGKILL" in output
    assert [cell.info.status for cell in in_mlflow(tmp_path)[1]] == ["KILLED", "FINISHED", "FINISHED"]

    others = written(*folders(tmp_path)[1:])
    run(resume(tmp_path, *JOBLIB), tmp_path)
    assert states(tmp_path) == ["FINISHED"] * 3
    assert written(*folders(tmp_path)[1:]) == others
    steps = [line["step"] for line in training_steps(folders(tmp_path)[0])]
    assert steps == list(range(1, 21)), "nothing lost, nothing doubled"
    assert [cell.info.status for cell in in_mlflow(tmp_path)[1]] == ["FINISHED"] * 3


def test_kill_9_of_the_driver_and_resume_while_runs_live_on(tmp_path: Path) -> None:
    process = start(sweep(tmp_path, "seed=0,1,2", "trainer.steps=20", "checkpoint.every=1", *JOBLIB), tmp_path)
    wait_until(process, lambda: began(tmp_path) and steps_done(folders(tmp_path)[0]) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert states(tmp_path)[0] == "RUNNING", "a run outlives its driver"
    run(resume(tmp_path), tmp_path)
    assert states(tmp_path) == ["FINISHED"] * 3
    for folder in folders(tmp_path):
        assert [line["step"] for line in training_steps(folder)] == list(range(1, 21))
    parent, cells = in_mlflow(tmp_path)
    assert parent.info.status == "FINISHED"
    assert [cell.info.status for cell in cells] == ["FINISHED"] * 3


def test_a_killed_worker_of_the_pool_and_a_terminated_driver(tmp_path: Path) -> None:
    grid = ("seed=0,1,2", "trainer.steps=30", "checkpoint.every=1", *JOBLIB)
    process = start(sweep(tmp_path, *grid), tmp_path)
    wait_until(process, lambda: began(tmp_path) and steps_done(folders(tmp_path)[0]) >= 2)
    psutil.Process(pid(folders(tmp_path)[0])).parent().kill()  # the run lives on, its worker is dead
    wait_until(process, lambda: steps_done(folders(tmp_path)[2]) >= 1)  # launched once more
    process.terminate()
    output = finish(process)
    assert process.returncode == 143, output
    assert "the launcher gave up (TerminatedWorkerError" in output
    assert "Traceback" not in output
    assert f"resume={tmp_path / 'sweep'}" in output
    assert states(tmp_path)[2] == "KILLED"
    assert "RUNNING" not in states(tmp_path)
    parent, cells = in_mlflow(tmp_path)
    assert parent.info.status == "KILLED"
    assert [cell.info.status for cell in cells] == states(tmp_path), "true in MLflow, too"
