"""Without MLflow, and with an MLflow that cannot be reached, everything but MLflow works."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from igrpo.generation.vllm.supervisor import free_port
from igrpo.runs.lifecycle import run_lifecycle
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.params import MAX_LENGTH, flatten_params
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.tracker import Tracker
from tests.begun import begun_run
from tests.waiting import DEADLINE_S


def work(directory: RunDirectory, tracker: Tracker) -> None:
    with run_lifecycle(directory) as run:
        run.begin()
        run.on_end(tracker.close)
        tracker.log_params({"a": {"b": 1}})
        for step in range(1, 51):
            tracker.log_metrics(step, {"train/loss": 1 / step})
        tracker.set_tags({"a": "b"})


def assert_complete(directory: RunDirectory) -> None:
    assert [line["step"] for line in read_metrics(directory.metrics)] == list(range(1, 51))
    record = directory.read_record()
    assert (record.status, record.mlflow_run_id) == ("FINISHED", None)


def test_without_mlflow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = begun_run(tmp_path / "run")
    tracker = Tracker(directory, tracking_uri=None)
    work(directory, tracker)
    assert_complete(directory)
    assert tracker.run is None
    assert caplog.records == []


@pytest.mark.parametrize("uri", ["http://127.0.0.1:{port}", "nonsense://nowhere", "sqlite:////proc/no/mlflow.db"])
def test_training_goes_on_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, uri: str) -> None:
    caplog.set_level(logging.WARNING)
    uri = uri.format(port=free_port("127.0.0.1"))
    directory = begun_run(tmp_path / "run")
    started = time.perf_counter()
    tracker = Tracker(directory, tracking_uri=uri, interval_s=0.01, retry_s=0.01)
    work(directory, tracker)
    assert time.perf_counter() - started < DEADLINE_S  # with MLflow's own settings: minutes
    assert_complete(directory)
    assert tracker.run is None
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert f"MLflow at {uri} does not take" in warning.getMessage()
    assert "The run continues" in warning.getMessage()


def test_a_silent_server_does_not_hold_up_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    directory = begun_run(tmp_path / "run")
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        started = time.perf_counter()
        work(directory, Tracker(directory, tracking_uri=uri, connect_timeout_s=0.2, close_timeout_s=0.2))
        assert time.perf_counter() - started < DEADLINE_S
    assert_complete(directory)


def test_stale_repair_without_its_server_is_quick_and_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    directory = begun_run(tmp_path / "runs" / "a" / "run")
    record = directory.read_record()
    dead = record.model_copy(update={"pid_started": record.pid_started - 100, "mlflow_run_id": "x"})
    directory.record_file.write_text(dead.model_dump_json())
    foreign = begun_run(tmp_path / "runs" / "foreign")
    foreign.record_file.write_text(dead.model_copy(update={"host": "another-host"}).model_dump_json())
    alive = begun_run(tmp_path / "runs" / "alive")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")
    started = time.perf_counter()
    repaired = repair_stale_runs(f"http://127.0.0.1:{free_port('127.0.0.1')}", [tmp_path / "runs", tmp_path / "none"])
    assert time.perf_counter() - started < DEADLINE_S
    assert repaired == [str(directory)]
    assert [one.read_record().status for one in (directory, foreign, alive)] == ["KILLED", "RUNNING", "RUNNING"]
    assert sum("now KILLED" in record.getMessage() for record in caplog.records) == 1
    assert sum("broken" in record.getMessage() for record in caplog.records) == 1


def test_a_dead_record_in_a_held_folder_is_left_alone(tmp_path: Path) -> None:
    directory = begun_run(tmp_path / "run")
    record = directory.read_record()
    directory.record_file.write_text(record.model_copy(update={"pid_started": 1.0}).model_dump_json())
    with directory.acquire():  # somebody is about to resume it
        assert repair_stale_runs(None, [tmp_path]) == []
    assert repair_stale_runs(None, [tmp_path]) == [str(directory)]


def test_a_run_that_was_repaired_meanwhile_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = begun_run(tmp_path / "run")
    record = directory.read_record()
    directory.record_file.write_text(record.model_copy(update={"pid_started": 1.0}).model_dump_json())

    @contextmanager
    def acquire_late(self: RunDirectory) -> Iterator[None]:
        self.finish("FINISHED")  # somebody else, in the meantime
        yield

    monkeypatch.setattr(RunDirectory, "acquire", acquire_late)
    assert repair_stale_runs(None, [tmp_path]) == []
    assert directory.read_record().status == "FINISHED"


class ReopenedRun:
    """Stands for a run in MLflow whose newest point is that of a line of metrics.jsonl (None: it has no point)."""

    experiment_id, run_id = "1", "abc"

    def __init__(self, newest: int | None) -> None:
        self.newest = newest
        self.steps: list[int] = []

    def newest_time(self) -> int | None:
        return self.newest

    def log_points(self, lines: list[dict[str, float]]) -> None:
        self.steps += [int(line["step"]) for line in lines]

    def terminate(self, status: str) -> None:
        pass


@pytest.mark.parametrize(("newest", "steps"), [(None, [1, 2, 3, 4]), (2, [2, 3, 4]), (3, [3, 4]), (5, [4])])
def test_resume_sends_what_mlflow_may_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: int | None, steps: list[int]
) -> None:
    """The line of the newest point is sent again: it may have been cut between two requests."""
    directory, clock = begun_run(tmp_path / "run"), iter(range(1, 100))
    monkeypatch.setattr("igrpo.runs.metrics_file.time.time", lambda: float(next(clock)))
    before = Tracker(directory, tracking_uri=None)
    for step in range(1, 6):
        before.log_metrics(step, {"train/loss": 1.0})
    before.close("KILLED")
    run = ReopenedRun(None if newest is None else 1000 * newest)
    monkeypatch.setattr("igrpo.runs.mlflow_sync.open_run", lambda target: run)
    after = Tracker(directory, tracking_uri="http://fake", resume_step=3)
    after.log_metrics(4, {"train/loss": 1.0})
    after.close("FINISHED")
    assert run.steps == steps


def test_flatten_params() -> None:
    config = {"a": {"b": {"c": 1}, "d": []}, "e": None, "f": True, "g": "text", "h": [1, {"i": 0.5}], "empty": {}}
    assert flatten_params(config) == {
        "a.b.c": "1",
        "a.d": "[]",
        "e": "null",
        "f": "true",
        "g": "text",
        "h": '[1, {"i": 0.5}]',
        "empty": "{}",
    }


def test_long_params_are_kept_up_to_mlflows_limit_and_say_so() -> None:
    flat = flatten_params({"short": "x" * 6000, "long": "y" * 6001})
    assert flat["short"] == "x" * 6000
    assert len(flat["long"]) == MAX_LENGTH == 6000
    assert flat["long"].endswith("y... [6001 characters, whole in config.yaml]")


def test_a_parameter_name_that_mlflow_refuses() -> None:
    with pytest.raises(ValueError, match=r"a\.b@c"):
        flatten_params({"a": {"b@c": 1}})
