"""The parent run of a sweep on a real database, with its children, its endings, and without an MLflow that answers."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from igrpo.runs.links import default_tracking_uri
from igrpo.runs.mlflow_client import mlflow_client
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.tracker import Tracker
from igrpo.sweeps.mlflow_parent import SweepRun, children, open_sweep_run
from tests.runs.test_tracker_offline import begun, closed_port

DRIVER = """
import sys, time
from pathlib import Path
from igrpo.sweeps.mlflow_parent import open_sweep_run
parent = open_sweep_run(tracking_uri=sys.argv[1], experiment="sweeps", name="driver", directory=Path(sys.argv[2]),
                        params={}, tags={})
print(parent.run_id, flush=True)
time.sleep(60)
"""


def open_sweep(uri: str, folder: Path, run_id: str | None = None) -> SweepRun:
    return open_sweep_run(
        tracking_uri=uri,
        experiment="sweeps",
        name="grpo_vs_igrpo",
        directory=folder,
        params={"algorithm": "grpo,igrpo", "seed": "0"},
        tags={"purpose": "test"},
        run_id=run_id,
    )


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return default_tracking_uri(tmp_path_factory.mktemp("mlflow") / "db")


def test_parent_children_and_reopening(uri: str, tmp_path: Path) -> None:
    sweep = open_sweep(uri, tmp_path)
    assert sweep.run_id is not None
    client = mlflow_client(uri)
    assert client.get_run(sweep.run_id).info.status == "RUNNING"
    for algorithm, status in (("igrpo", "FINISHED"), ("grpo", "FAILED")):
        directory = begun(tmp_path / algorithm)
        swept = {"algorithm": algorithm, "trainer.learning_rate": "1e-4", "data.name": "chains", "seed": "0"}
        tracker = Tracker(
            directory,
            tracking_uri=uri,
            experiment="sweeps",
            run_name=f"{algorithm} s0",
            parent_run_id=sweep.run_id,
            swept=swept,
        )
        config = {"seed": 0, "name": "mine", "trainer": {"learning_rate": 0.0001}, "data": {"name": "chains"}}
        tracker.log_params(config | {"algorithm": {"name": algorithm}})
        tracker.close(status)
        run = client.get_run(directory.read_record().mlflow_run_id)
        assert run.data.tags["mlflow.parentRunId"] == sweep.run_id
        assert run.data.params == {
            "algorithm": algorithm,  # the swept ones under short names
            "learning_rate": "1e-4",
            "algorithm.name": algorithm,
            "trainer.learning_rate": "0.0001",
            "data.name": "chains",
            "seed": "0",  # swept and configured: once
            "name": "mine",  # another setting has the short name of data.name already
        }
    found = sweep.children()
    assert [(child.name, child.status) for child in found] == [("igrpo s0", "FINISHED"), ("grpo s0", "FAILED")]
    assert found == children(uri, sweep.run_id)
    sweep.finish("KILLED")

    again = open_sweep(uri, tmp_path, run_id=sweep.run_id)
    assert (again.run_id, again.experiment_id) == (sweep.run_id, sweep.experiment_id)
    run = client.get_run(sweep.run_id)
    assert (run.info.status, run.info.run_name) == ("RUNNING", "grpo_vs_igrpo")
    tags = {name: run.data.tags[name] for name in ("igrpo.kind", "igrpo.run_directory", "igrpo.pid", "purpose")}
    expected = {"igrpo.kind": "sweep", "igrpo.run_directory": str(tmp_path), "igrpo.pid": str(os.getpid())}
    assert tags == expected | {"purpose": "test"}
    assert run.data.params == {"algorithm": "grpo,igrpo", "seed": "0"}
    assert again.children() == found
    again.finish("FINISHED")
    assert client.get_run(sweep.run_id).info.status == "FINISHED"


def test_table_and_report_are_on_the_parent_and_a_second_time_replaces_them(uri: str, tmp_path: Path) -> None:
    report = tmp_path / "report" / "figures"
    report.mkdir(parents=True)
    (report / "curve.svg").write_text("<svg/>")
    (tmp_path / "report" / "report.html").write_text("old")
    sweep = open_sweep(uri, tmp_path)
    for last in (0.5, None):
        sweep.log_table("summary", {"run": ["grpo s0", "igrpo s0"], "after": [0.25, last]})
        sweep.log_artifacts(tmp_path / "report", "report")
        (tmp_path / "report" / "report.html").write_text("new")
    sweep.log_artifact(report / "curve.svg")
    sweep.set_tags({"verdict": "none"})
    sweep.finish("FINISHED")
    assert sweep.run_id is not None
    client = mlflow_client(uri)
    local = Path(client.download_artifacts(sweep.run_id, ""))
    assert sorted(str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()) == [
        "curve.svg",
        "report/figures/curve.svg",
        "report/report.html",
        "tables/summary.json",
    ]
    assert (local / "report" / "report.html").read_text() == "new"
    table = json.loads((local / "tables" / "summary.json").read_text())
    assert table == {"columns": ["run", "after"], "data": [["grpo s0", 0.25], ["igrpo s0", None]]}
    tags = client.get_run(sweep.run_id).data.tags
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": "tables/summary.json", "type": "table"}]
    assert tags["verdict"] == "none"


def test_the_run_of_a_driver_that_was_killed_is_repaired(uri: str, tmp_path: Path) -> None:
    (folder := tmp_path / "sweeps" / "one").mkdir(parents=True)  # no run of another test beside it
    (folder / "sweep.json").write_text("{}")
    cell = begun(folder / "000-grpo_s0")
    cell.finish("FINISHED")
    for file in (cell.record_file, folder / "sweep.json"):
        os.utime(file, (1_700_000_000, 1_700_000_000))
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, uri, str(folder)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    run_id = driver.stdout.readline().strip()
    client = mlflow_client(uri)
    assert repair_stale_runs(uri, [folder.parent]) == []
    assert client.get_run(run_id).info.status == "RUNNING"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert repair_stale_runs(uri, [folder.parent]) == [run_id]
    run = client.get_run(run_id)
    assert (run.info.status, run.info.end_time) == ("KILLED", 1_700_000_000_000)  # when a run beneath it last wrote
    assert cell.read_record().status == "FINISHED"
    assert (folder / "sweep.json").read_text() == "{}"
    assert repair_stale_runs(uri, [folder.parent]) == []


def test_a_run_that_was_deleted_is_replaced(uri: str, tmp_path: Path) -> None:
    sweep = open_sweep(uri, tmp_path, run_id="0" * 32)
    assert sweep.run_id not in {None, "0" * 32}
    sweep.finish("FINISHED")


def everything(sweep: SweepRun, folder: Path) -> None:
    sweep.set_tags({"a": "b"})
    sweep.log_table("summary", {"run": ["a"]})
    (folder / "file").write_text("x")
    sweep.log_artifact(folder / "file")
    sweep.log_artifacts(folder, "folder")
    assert sweep.children() == []
    sweep.finish("FINISHED")


def test_an_mlflow_that_is_down_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    uri = f"http://127.0.0.1:{closed_port()}"
    sweep = open_sweep(uri, tmp_path)
    everything(sweep, tmp_path)
    assert (sweep.run_id, sweep.experiment_id) == (None, None)
    (warning,) = caplog.records
    for part in (uri, "ConnectionRefusedError", "The sweep goes on", str(tmp_path)):
        assert part in warning.getMessage()


def test_an_mlflow_that_comes_back_gets_what_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    in_the_way = tmp_path / "db"
    in_the_way.write_text("no folder")
    uri = default_tracking_uri(in_the_way)
    sweep = open_sweep(uri, tmp_path)
    assert sweep.run_id is None
    in_the_way.unlink()
    sweep.finish("FINISHED")
    assert sweep.run_id is not None
    run = mlflow_client(uri).get_run(sweep.run_id)
    assert (run.info.status, run.data.params["seed"]) == ("FINISHED", "0")


def test_mistakes_of_the_caller_are_no_outage(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(ValueError, match="a@b"):
        open_sweep_run(tracking_uri=uri, experiment="x", name="x", directory=tmp_path, params={"a@b": "1"}, tags={})
    sweep = open_sweep(uri, tmp_path)
    with pytest.raises(ValueError, match="table summary: the columns have different lengths"):
        sweep.log_table("summary", {"a": [1], "b": []})
    with pytest.raises(FileNotFoundError, match="none is no file"):
        sweep.log_artifact(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="none is no folder"):
        sweep.log_artifacts(tmp_path / "none")


def test_a_run_without_a_directory_of_ours_is_left_to_its_owner(uri: str, tmp_path: Path) -> None:
    """A tag is missing: the working directory must not be taken for the run's."""
    sweep = open_sweep(uri, tmp_path)
    assert sweep.run_id is not None
    client = mlflow_client(uri)
    here = RunDirectory(Path.cwd())
    assert not here.record_file.exists()
    client.set_tag(sweep.run_id, "igrpo.pid_started", "1.0")
    client.delete_tag(sweep.run_id, "igrpo.run_directory")
    before = time.time()
    assert repair_stale_runs(uri) == [sweep.run_id]
    assert client.get_run(sweep.run_id).info.end_time >= int(before * 1000)
