"""The run of a sweep in MLflow on a real database: its children, its endings, and an MLflow that does not answer."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from igrpo.generation.vllm.supervisor import free_port
from igrpo.runs.links import default_tracking_uri
from igrpo.runs.mlflow_client import RunTarget, mlflow_client, open_run
from igrpo.runs.mlflow_datasets import DatasetInput, log_datasets
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory
from igrpo.runs.tracker import Tracker
from igrpo.sweeps import mlflow_parent
from igrpo.sweeps.mlflow_parent import open_parent
from tests.begun import begun_run, begun_sweep

DRIVER = """
import sys, time
from igrpo.runs.sweep_directory import SweepDirectory
from igrpo.sweeps.mlflow_parent import open_parent
sweep = SweepDirectory(sys.argv[1])
with open_parent(sweep):
    print(sweep.read().mlflow_run_id, flush=True)
    time.sleep(60)
"""


def tracked_sweep(folder: Path, uri: str | None) -> SweepDirectory:
    return begun_sweep(folder, name="grpo_vs_igrpo", overrides=["seed=0"], tracking_uri=uri)


def in_mlflow(sweep: SweepDirectory) -> Any:
    record = sweep.read()
    assert record.tracking_uri is not None
    return mlflow_client(record.tracking_uri).get_run(record.mlflow_run_id)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return default_tracking_uri(tmp_path_factory.mktemp("mlflow") / "db")


def test_without_mlflow_there_is_no_parent(tmp_path: Path) -> None:
    with open_parent(tracked_sweep(tmp_path, None)) as parent:
        assert parent is None


def test_a_resumed_sweep_continues_its_run(uri: str, tmp_path: Path) -> None:
    sweep = tracked_sweep(tmp_path, uri)
    with pytest.raises(KeyboardInterrupt), open_parent(sweep):
        raise KeyboardInterrupt
    assert in_mlflow(sweep).info.status == "KILLED"
    first = sweep.read().mlflow_run_id

    with pytest.raises(ValueError, match="broken"), open_parent(sweep):
        raise ValueError("broken")
    assert in_mlflow(sweep).info.status == "FAILED"

    with open_parent(sweep) as parent:
        assert parent is not None
        run = in_mlflow(sweep)
        assert (run.info.run_id, run.info.status) == (first, "RUNNING")
        assert run.info.run_name == f"grpo_vs_igrpo {tmp_path.name}"
    run = in_mlflow(sweep)
    assert run.info.status == "FINISHED"
    tags = run.data.tags
    assert (tags["igrpo.kind"], tags["igrpo.run_directory"]) == ("sweep", str(tmp_path))
    assert json.loads(tags["igrpo.process"])["pid"] == os.getpid()
    assert tags["mlflow.note.content"] == "Sweep grpo_vs_igrpo: 0 runs over seed."
    assert tags["mlflow.source.name"].startswith("igrpo")
    assert run.data.params == {"sweep": "grpo_vs_igrpo", "swept": "seed", "overrides": "seed=0", "runs": "0"}


def test_a_sweep_is_told_without_passwords(uri: str, tmp_path: Path) -> None:
    given = "data.path=http://ann:s3cret@host/x.jsonl"
    sweep = begun_sweep(
        tmp_path,
        CellRecord(number=1, folder="001", swept={}, overrides=()),
        overrides=[given, "seed=0,1"],
        tracking_uri=uri,
    )
    with open_parent(sweep):
        pass
    run = in_mlflow(sweep)
    assert run.data.params["overrides"] == "data.path=http://host/x.jsonl seed=0,1"
    assert run.data.tags["mlflow.note.content"] == "Sweep: 1 run over seed."


def test_children_have_the_swept_settings_under_short_names(uri: str, tmp_path: Path) -> None:
    directory = begun_run(tmp_path / "igrpo")
    swept = {"algorithm": "igrpo", "trainer.learning_rate": "1e-4", "data.name": "chains", "seed": "0"}
    tracker = Tracker(
        directory, tracking_uri=uri, experiment="sweeps", run_name="igrpo s0", parent_run_id="abc", swept=swept
    )
    config = {"seed": 0, "name": "mine", "trainer": {"learning_rate": 0.0001}, "data": {"name": "chains"}}
    tracker.log_params(config | {"algorithm": {"name": "igrpo"}})
    tracker.close("FINISHED")
    run = mlflow_client(uri).get_run(directory.read_record().mlflow_run_id)
    assert (run.data.tags["mlflow.parentRunId"], run.info.run_name) == ("abc", "igrpo s0")
    assert run.data.params == {
        "algorithm": "igrpo",  # the swept ones under short names
        "learning_rate": "1e-4",
        "algorithm.name": "igrpo",
        "trainer.learning_rate": "0.0001",
        "data.name": "chains",
        "seed": "0",  # swept and configured: once
        "name": "mine",  # another setting has the short name of data.name already
    }


def test_table_and_report_are_replaced_the_second_time(uri: str, tmp_path: Path) -> None:
    sweep, report = tracked_sweep(tmp_path, uri), tmp_path / "report"
    (report / "figures").mkdir(parents=True)
    (report / "figures" / "curve.svg").write_text("<svg/>")
    (report / ".report.html.x.tmp").touch()  # somebody writes it
    columns: dict[str, list[Any]] = {"run": ["grpo s0", "igrpo s0"], "after": [0.25, 0.5]}
    for page in ("old", "new"):
        (report / "report.html").write_text(page)
        with open_parent(sweep) as parent:
            assert parent is not None
            parent.put("the table", lambda run: run.log_table("runs", columns))
        columns["after"][1] = None
    run_id = str(sweep.read().mlflow_run_id)
    local = Path(mlflow_client(uri).download_artifacts(run_id, ""))
    assert sorted(str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()) == [
        "report/figures/curve.svg",
        "report/report.html",
        "tables/runs.json",
    ]
    assert (local / "report" / "report.html").read_text() == "new"
    table = json.loads((local / "tables" / "runs.json").read_text())
    assert table == {"columns": ["run", "after"], "data": [["grpo s0", 0.25], ["igrpo s0", None]]}
    tags = in_mlflow(sweep).data.tags
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": "tables/runs.json", "type": "table"}]


def test_the_run_of_a_driver_that_was_killed_is_repaired(uri: str, tmp_path: Path) -> None:
    sweep = tracked_sweep(tmp_path / "sweeps" / "one", uri)  # no run of another test beside it
    cell = begun_run(sweep.path / "000-grpo_s0")
    cell.finish("FINISHED")
    os.utime(cell.record_file, (1_700_000_000, 1_700_000_000))
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(sweep)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    run_id = driver.stdout.readline().strip()
    before = sweep.record_file.read_text()
    assert repair_stale_runs(uri, [sweep.path.parent]) == []
    assert in_mlflow(sweep).info.status == "RUNNING"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert repair_stale_runs(uri, [sweep.path.parent]) == [run_id]
    info = in_mlflow(sweep).info
    assert (info.status, info.end_time) == ("KILLED", 1_700_000_000_000)  # when a run beneath it last wrote
    assert cell.read_record().status == "FINISHED"
    assert sweep.record_file.read_text() == before
    assert repair_stale_runs(uri, [sweep.path.parent]) == []


def test_a_run_that_was_deleted_is_replaced(uri: str, tmp_path: Path) -> None:
    sweep = tracked_sweep(tmp_path, uri)
    sweep.attach_mlflow("1", "0" * 32)
    with open_parent(sweep):
        pass
    assert sweep.read().mlflow_run_id not in {None, "0" * 32}


def test_an_mlflow_that_is_down_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(mlflow_parent, "CLOSE_TIMEOUT_S", 0.1)
    uri = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    sweep = tracked_sweep(tmp_path, uri)
    with open_parent(sweep) as parent:
        assert parent is not None
        assert parent.run is None
        parent.put("the table", lambda run: run.log_table("runs", {"run": ["a"]}))
    assert sweep.read().mlflow_run_id is None
    (warning,) = caplog.records
    for part in (uri, "ConnectionRefusedError", "The sweep continues", str(tmp_path)):
        assert part in warning.getMessage()


def test_an_mlflow_that_comes_back_gets_what_follows(tmp_path: Path) -> None:
    in_the_way = tmp_path / "db"
    in_the_way.write_text("no folder")
    sweep = tracked_sweep(tmp_path / "sweep", default_tracking_uri(in_the_way))
    with open_parent(sweep) as parent:
        assert parent is not None
        assert parent.run is None
        in_the_way.unlink()
    run = in_mlflow(sweep)
    assert (run.info.status, run.data.params["swept"]) == ("FINISHED", "seed")


def test_a_run_without_a_directory_of_ours_is_left_to_its_owner(uri: str, tmp_path: Path) -> None:
    """A tag is missing: the working directory must not be taken for the run's."""
    sweep = tracked_sweep(tmp_path, uri)
    with open_parent(sweep):
        run_id, client = str(sweep.read().mlflow_run_id), mlflow_client(uri)
        here = RunDirectory(Path.cwd())
        assert not here.record_file.exists()
        dead = replace(ProcessMark.current(), started=1.0)
        client.set_tag(run_id, *next(iter(dead.as_tags().items())))
        client.delete_tag(run_id, "igrpo.run_directory")
        before = time.time()
        assert repair_stale_runs(uri) == [run_id]
        assert client.get_run(run_id).info.end_time >= int(before * 1000)


def test_mlflow_keeps_each_data_set_once(uri: str) -> None:
    run = open_run(RunTarget(uri, "data"))
    inputs = [
        DatasetInput("chains", split, f"digest {split}", 3, "local", {"uri": "/a"}) for split in ("train", "test")
    ]
    for _ in range(2):
        log_datasets(run, inputs)
    kept = run.client.get_run(run.run_id).inputs.dataset_inputs
    assert sorted((one.dataset.digest, one.tags[0].value) for one in kept) == sorted(
        (one.digest, one.context) for one in inputs
    )
