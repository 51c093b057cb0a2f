"""Real processes that end in every way; their status is read from run.json and from MLflow's database."""

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import RunTag

from igrpo.runs.links import default_tracking_uri
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.mlflow_client import MlflowRun, RunTarget, open_run
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.run_lock import RunDirectoryLockedError
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.tracker import Tracker
from tests.begun import begun_run

SCRIPT = Path(__file__).with_name("tracked_run.py")
MODES = {"normal": "normal", "exception": "exception", "term": "wait", "kill": "wait"}
STEPS = list(range(1, 7))


class Endings:
    """Four runs that started at the same moment on a database that did not exist."""

    def __init__(self, folder: Path) -> None:
        from igrpo.runs.mlflow_client import mlflow_client

        self.folder = folder
        self.uri = default_tracking_uri(folder / "db")
        self.processes = {
            name: subprocess.Popen(
                [sys.executable, str(SCRIPT), str(folder / "runs" / name), self.uri, mode],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, mode in MODES.items()
        }
        for name, number in (("term", signal.SIGTERM), ("kill", signal.SIGKILL)):
            process = self.processes[name]
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == "READY\n", process.communicate()[1]
            if name == "kill":
                self.locked = locked_message(self.directory("kill"))
                self.repaired_alive = repair_stale_runs(self.uri, [folder / "runs"])
            process.send_signal(number)
        self.errors = {name: process.communicate(timeout=60)[1] for name, process in self.processes.items()}
        self.client = mlflow_client(self.uri)

    def directory(self, name: str) -> RunDirectory:
        return RunDirectory(self.folder / "runs" / name)

    def mlflow_run(self, name: str):
        return self.client.get_run(self.directory(name).read_record().mlflow_run_id)

    def statuses(self, name: str) -> tuple[str, str]:
        return self.directory(name).read_record().status, self.mlflow_run(name).info.status

    def points(self, name: str) -> list[tuple[int, float]]:
        run_id = self.directory(name).read_record().mlflow_run_id
        return [(point.step, point.value) for point in self.client.get_metric_history(run_id, "train/loss")]


def locked_message(directory: RunDirectory) -> str:
    with pytest.raises(RunDirectoryLockedError) as caught, directory.acquire():
        pass
    return str(caught.value)


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Endings:
    return Endings(tmp_path_factory.mktemp("endings"))


@pytest.mark.parametrize(
    ("name", "status", "code"), [("normal", "FINISHED", 0), ("exception", "FAILED", 1), ("term", "KILLED", 143)]
)
def test_status_is_true_in_run_json_and_in_mlflow(endings: Endings, name: str, status: str, code: int) -> None:
    assert endings.processes[name].returncode == code, endings.errors[name]
    assert endings.statuses(name) == (status, status)
    record = endings.directory(name).read_record()
    assert record.ended is not None
    assert record.pid == endings.processes[name].pid
    assert endings.mlflow_run(name).info.end_time is not None


@pytest.mark.parametrize("name", list(MODES))
def test_every_point_and_parameter_arrives(endings: Endings, name: str) -> None:
    assert [line["step"] for line in read_metrics(endings.directory(name).metrics)] == STEPS
    assert endings.points(name) == [(step, step / 2) for step in STEPS]
    assert endings.mlflow_run(name).data.params == {
        "algorithm.name": "igrpo",
        "algorithm.drafts": "4",
        "mode": MODES[name],
    }


def test_nothing_appears_in_the_working_directory(endings: Endings) -> None:
    assert endings.errors["normal"] == ""
    assert sorted(path.name for path in endings.folder.iterdir()) == ["db", "runs"]
    artifacts = endings.mlflow_run("normal").info.artifact_uri
    assert artifacts.startswith((endings.folder / "db" / "mlflow-artifacts").as_uri())


def test_a_second_process_is_refused_by_name(endings: Endings) -> None:
    assert f"in use by process {endings.processes['kill'].pid} on host {os.uname().nodename}" in endings.locked
    assert endings.repaired_alive == []  # it was alive, and so were others


def test_kill_9_is_repaired_by_the_next_command_and_resumed(endings: Endings, caplog: pytest.LogCaptureFixture) -> None:
    assert endings.statuses("kill") == ("RUNNING", "RUNNING")
    record = endings.directory("kill").read_record()
    alive_before = endings.statuses("normal"), endings.statuses("term")
    with caplog.at_level(logging.WARNING):
        repaired = repair_stale_runs(endings.uri, [endings.folder / "runs"])
    assert repaired == [str(endings.directory("kill")), record.mlflow_run_id]
    assert "is dead: now KILLED" in caplog.text
    assert endings.statuses("kill") == ("KILLED", "KILLED")
    assert (endings.statuses("normal"), endings.statuses("term")) == alive_before
    assert repair_stale_runs(endings.uri, [endings.folder / "runs"]) == []

    # Resume from the checkpoint of step 4: the lock of the dead process is taken over, the same MLflow run goes on.
    directory = endings.directory("kill")
    with directory.acquire():
        directory.begin()
        tracker = Tracker(directory, tracking_uri=endings.uri, experiment="endings", resume_step=4, interval_s=0.1)
        assert [line["step"] for line in read_metrics(directory.metrics)] == [1, 2, 3, 4]
        assert endings.statuses("kill") == ("RUNNING", "RUNNING")
        tracker.log_params({"algorithm": {"name": "changed"}, "trainer": {"steps": 9}})
        for step in (5, 6):
            tracker.log_metrics(step, {"train/loss": 100.0 + step})
        directory.finish("FINISHED")
        tracker.close("FINISHED")
    assert endings.statuses("kill") == ("FINISHED", "FINISHED")
    resumed = directory.read_record()
    assert (resumed.mlflow_run_id, resumed.created) == (record.mlflow_run_id, record.created)
    run = endings.mlflow_run("kill")
    assert run.data.tags["igrpo.resumed_from_step"] == "4"
    assert json.loads(run.data.tags["igrpo.process"])["pid"] == os.getpid()
    assert run.data.params["algorithm.name"] == "igrpo"  # a parameter never changes
    assert run.data.params["trainer.steps"] == "9"
    # MLflow cannot delete points: those of the lost steps stand beside the new ones, those before are not repeated.
    old = [(step, step / 2) for step in STEPS]
    assert sorted(endings.points("kill")) == sorted([*old, (5, 105.0), (6, 106.0)])


def test_stale_runs_are_found_in_the_database_too(endings: Endings) -> None:
    repair_stale_runs(endings.uri)  # the killed run, where no other test of this worker has
    run_id = endings.mlflow_run("exception").info.run_id
    directory = endings.directory("exception")
    record = directory.read_record().model_copy(update={"status": "RUNNING"})
    directory.record_file.write_text(record.model_dump_json())
    endings.client.update_run(run_id, status="RUNNING")
    assert repair_stale_runs(endings.uri) == [str(directory), run_id]  # no roots given: the folder is known by a tag
    assert endings.statuses("exception") == ("KILLED", "KILLED")

    directory.record_file.rename(directory.path / "gone.json")
    endings.client.update_run(run_id, status="RUNNING")
    assert repair_stale_runs(endings.uri) == [run_id]
    assert endings.client.get_run(run_id).info.status == "KILLED"
    endings.client.update_run(run_id, status="RUNNING")
    elsewhere = replace(ProcessMark.current(), host="another-host", pid=1)
    endings.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in elsewhere.as_tags().items()])
    assert repair_stale_runs(endings.uri) == []


def test_no_password_reaches_mlflow(endings: Endings, tmp_path: Path) -> None:
    directory = begun_run(tmp_path / "run")
    config = {"tracking": {"uri": "http://ann:s3cret@host:5000"}, "seed": 1}
    directory.save_config(config)
    tracker = Tracker(directory, tracking_uri=endings.uri, experiment="endings")
    tracker.log_params(config)
    tracker.close("FINISHED")
    assert tracker.run is not None
    params = endings.client.get_run(tracker.run.run_id).data.params
    assert params == {"tracking.uri": "http://host:5000", "seed": "1"}
    sent = Path(endings.client.download_artifacts(tracker.run.run_id, "config.yaml")).read_text()
    assert sent == directory.config.read_text().replace("ann:s3cret@", "")
    assert "s3cret" in directory.config.read_text()  # a resume needs it


def test_a_resumed_run_gets_its_new_name_unless_it_was_renamed(endings: Endings) -> None:
    def opened(name: str, run_id: str | None = None) -> MlflowRun:
        return open_run(RunTarget(endings.uri, "endings", name, run_id))

    def name_of(run: MlflowRun) -> str:
        return str(endings.client.get_run(run.run_id).info.run_name)

    run = opened("steps=2")
    for name in ("steps=3", "steps=4"):
        assert name_of(opened(name, run.run_id)) == name
    endings.client.update_run(run.run_id, name="mine")
    assert name_of(opened("steps=5", run.run_id)) == "mine"


def test_tables_and_files_reach_mlflow(endings: Endings, tmp_path: Path) -> None:
    directory = begun_run(tmp_path / "run")
    directory.config.write_text("seed: 1\n")
    table = {"columns": ["question", "drafts"], "data": [["1+1?", ["3", "2"]], ["1+2?", []]]}
    for name, content in (("samples-000010", table), ("test-000010", {}), ("development-000010", {})):
        (directory.evaluations / f"{name}.json").write_text(json.dumps(content))
    tracker = Tracker(directory, tracking_uri=endings.uri, experiment="endings", tags={"purpose": "test"})
    assert tracker.run is not None
    directory.summary.write_text("{}")  # written later: sent by the next sync
    tracker.set_tags({"stage": "late"})
    tracker.log_metrics(1, {"a": float("nan"), "b": float("inf"), "c": 3})
    tracker.close("FINISHED")
    run_id = tracker.run.run_id
    local = Path(endings.client.download_artifacts(run_id, ""))
    assert {str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()} == {
        "config.yaml", "summary.json", "tables/samples-000010.json", "evaluations/test-000010.json",
    }  # fmt: skip
    assert json.loads((local / "tables" / "samples-000010.json").read_text()) == table
    assert json.loads(endings.client.get_run(run_id).data.tags["mlflow.loggedArtifacts"])[0]["type"] == "table"
    run = endings.client.get_run(run_id)
    assert (run.data.tags["purpose"], run.data.tags["stage"], run.info.status) == ("test", "late", "FINISHED")
    assert run.data.metrics["c"] == 3.0
    assert run.data.metrics["a"] != run.data.metrics["a"]


def test_a_kill_before_a_table_was_sent_loses_nothing(endings: Endings, tmp_path: Path) -> None:
    directory = begun_run(tmp_path / "run")
    offline = Tracker(directory, tracking_uri=None)
    offline.log_metrics(1, {"train/loss": 1.0})
    (directory.evaluations / "samples-000001.json").write_text('{"columns": [], "data": []}')
    offline.close("KILLED")
    directory.begin()
    online = Tracker(directory, tracking_uri=endings.uri, experiment="endings", resume_step=1)
    online.close("FINISHED")
    assert online.run is not None
    (table,) = endings.client.list_artifacts(online.run.run_id, "tables")
    assert table.path == "tables/samples-000001.json"


def test_a_new_address_gets_the_whole_history(endings: Endings, tmp_path: Path) -> None:
    directory = begun_run(tmp_path / "run")
    offline = Tracker(directory, tracking_uri=None)
    for step in STEPS:
        offline.log_metrics(step, {"train/loss": step / 2})
    offline.close("KILLED")
    directory.begin()
    online = Tracker(directory, tracking_uri=endings.uri, experiment="endings", resume_step=3)
    online.log_metrics(4, {"train/loss": 40.0})
    online.close("FINISHED")
    assert online.run is not None
    points = endings.client.get_metric_history(online.run.run_id, "train/loss")
    assert [(point.step, point.value) for point in points] == [(1, 0.5), (2, 1.0), (3, 1.5), (4, 40.0)]
