"""The copy of a run in MLflow, against a stand-in for MLflow that fails on demand."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from igrpo.runs.metrics_file import MetricsFile, read_metrics
from igrpo.runs.mlflow_client import RunTarget, milliseconds
from igrpo.runs.mlflow_sync import MlflowSync
from tests.waiting import wait_until


class FakeRun:
    """Takes points while ``up``; refuses everything when not."""

    def __init__(self) -> None:
        self.up = True
        self.refused = 0
        self.steps: list[int] = []
        self.batches: list[int] = []
        self.newest: int | None = None
        self.done: list[str] = []
        self.status: str | None = None

    def newest_time(self) -> int | None:
        return self.newest

    def ping(self) -> None:
        if not self.up:
            self.refused += 1
            raise ConnectionError("server is down")

    def be_down(self, then: Callable[[], object]) -> None:
        """Go down, let ``then`` happen, and come back when several attempts were refused."""
        self.up, before = False, self.refused
        then()
        wait_until(lambda: self.refused >= before + 5)
        self.up = True

    def log_points(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self.ping()
        self.steps += [line["step"] for line in lines]
        self.batches.append(sum(len(line) - 2 for line in lines))

    def upload(self, path: Path, folder: str | None) -> None:
        self.ping()
        self.done.append(f"{folder}/{path.name} {path.read_text()}")

    def terminate(self, status: str) -> None:
        self.ping()
        self.status = status


Sync = Callable[..., MlflowSync]


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch) -> Sync:
    """Copies a metrics.jsonl to a run of MLflow that ``open_run`` returns."""

    def start(path: Path, run: FakeRun, open_run: Callable[[], Any] | None = None, **settings: Any) -> MlflowSync:
        monkeypatch.setattr("igrpo.runs.mlflow_sync.open_run", lambda target: open_run() if open_run else run)
        made = MlflowSync(
            RunTarget("http://fake", "experiment"),
            subject="run",
            record=path,
            metrics=path,
            **({"interval_s": 0.01, "retry_s": 0.01} | settings),
        )
        made.start(timeout_s=5)
        return made

    return start


def test_an_outage_loses_no_point_repeats_none_and_is_said_once(
    sync: Sync, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    copy = sync(file.path, run)

    def log(steps: range) -> None:
        for step in steps:
            file.append(step, {"loss": 1.0})

    log(range(1, 50))
    run.be_down(lambda: log(range(50, 250)))
    log(range(250, 301))
    wait_until(lambda: len(run.steps) == 300)
    run.be_down(lambda: log(range(301, 302)))
    copy.close("FINISHED", timeout_s=5)
    assert run.steps == list(range(1, 302))
    assert run.status == "FINISHED"
    assert len(caplog.records) == 1
    for part in ("http://fake", "ConnectionError: server is down", str(file.path)):
        assert part in caplog.text


def test_a_server_that_comes_up_late_gets_everything(sync: Sync, tmp_path: Path) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    attempts = []

    def connect() -> FakeRun:
        attempts.append(1)
        if len(attempts) < 4:
            raise ConnectionError("not yet")
        return run

    copy = sync(file.path, run, connect)
    copy.put("parameters", lambda _: run.done.append("parameters"))
    file.append(1, {"loss": 1.0})
    wait_until(lambda: run.steps == [1] and run.done == ["parameters"])
    copy.close("FINISHED", timeout_s=5)
    assert len(attempts) == 4


def test_points_are_gathered_and_batches_fit_mlflow(sync: Sync, tmp_path: Path) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    copy = sync(file.path, run, interval_s=60)
    for step in range(200):
        file.append(step, {f"m{i}": 1.0 for i in range(30)})
    copy.close("FINISHED", timeout_s=5)
    assert run.steps == list(range(200))
    assert sum(run.batches) == 6000
    assert max(run.batches) <= 1000
    assert len(run.batches) == 7  # 6,000 points, 900 a batch


def test_a_resumed_run_sends_from_the_newest_point_on(sync: Sync, tmp_path: Path) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        file.append(step, {"loss": 1.0})
        time.sleep(0.002)  # lines of different milliseconds
    run.newest = milliseconds(list(read_metrics(file.path))[1])
    with file.path.open("ab") as torn:
        torn.write(b'{"step": 4, "time": 1.0, "lo')
    copy = sync(file.path, run)
    copy.close("KILLED", timeout_s=5)
    assert run.steps == [2, 3]  # MLflow stores the points of step 2 once


def test_files_are_sent_when_they_are_new_or_have_changed(sync: Sync, tmp_path: Path) -> None:
    run, file, summary = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl"), tmp_path / "summary.json"
    summary.write_text("old")
    copy = sync(file.path, run, files=lambda: [(summary, "folder")])
    wait_until(lambda: len(run.done) == 1)
    time.sleep(0.05)
    run.be_down(lambda: summary.write_text("new"))
    copy.close("FINISHED", timeout_s=5)
    assert run.done == ["folder/summary.json old", "folder/summary.json new"]


def test_a_refused_action_is_dropped_but_not_in_an_outage(
    sync: Sync, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    copy = sync(file.path, run)

    def bad(_: object) -> None:
        raise ValueError("no such file")

    def good(_: object) -> None:
        run.ping()
        run.done.append("good")

    copy.put("bad", bad)
    wait_until(lambda: "no such file" in caplog.text)
    run.be_down(lambda: copy.put("good", good))
    copy.close("FINISHED", timeout_s=5)
    assert run.done == ["good"]


def test_what_fails_at_the_end_is_tried_again(sync: Sync, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class LockedRun(FakeRun):
        """A database that others hold: every other request fails."""

        requests = 0

        def ping(self) -> None:
            self.requests += 1
            if self.requests % 2:
                raise ConnectionError("database is locked")

    run, file = LockedRun(), MetricsFile(tmp_path / "metrics.jsonl")
    for step in range(200):
        file.append(step, {f"m{i}": 1.0 for i in range(30)})
    copy = sync(file.path, run, interval_s=60)
    copy.close("FINISHED", timeout_s=5)
    assert run.steps == list(range(200))
    assert run.status == "FINISHED"
    assert caplog.records == []  # single failures, each mended by the next attempt


def test_the_end_waits_as_long_as_something_is_taken(sync: Sync, tmp_path: Path) -> None:
    class SlowRun(FakeRun):
        def log_points(self, lines: Sequence[Mapping[str, Any]]) -> None:
            time.sleep(0.25)
            super().log_points(lines)

    run, file = SlowRun(), MetricsFile(tmp_path / "metrics.jsonl")
    copy = sync(file.path, run, interval_s=60)
    for step in range(6):
        file.append(step, {f"m{i}": 1.0 for i in range(1000)})
    copy.close("FINISHED", timeout_s=1.0)  # six requests of 0.25 s
    assert run.steps == list(range(6))
    assert run.status == "FINISHED"


def test_an_end_that_is_not_taken_is_said(sync: Sync, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    copy = sync(file.path, run)
    run.up = False
    file.append(1, {"loss": 1.0})
    copy.close("FINISHED", timeout_s=5)
    assert run.status is None
    assert "http://fake lacks the end of this run" in caplog.messages[-1]
    assert str(file.path) in caplog.messages[-1]


def test_an_action_that_meets_a_lock_is_tried_again(
    sync: Sync, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    copy = sync(file.path, run, interval_s=60)

    def locked_once(_: object) -> None:
        run.done.append("try")
        if len(run.done) == 1:
            raise ConnectionError("database is locked")

    copy.put("first", locked_once)
    copy.put("second", lambda _: run.done.append("next"))
    copy.close("FINISHED", timeout_s=5)
    assert run.done == ["try", "try", "next"]
    assert run.status == "FINISHED"
    assert caplog.records == []


def test_a_server_that_never_answers_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, release = MetricsFile(tmp_path / "metrics.jsonl"), threading.Event()

    def hang() -> Any:
        release.wait(30)
        raise ConnectionError

    monkeypatch.setattr("igrpo.runs.mlflow_sync.open_run", lambda target: hang())
    copy = MlflowSync(RunTarget("http://fake", "experiment"), subject="run", record=file.path, metrics=file.path)
    started = time.perf_counter()
    copy.start(timeout_s=0.1)
    file.append(1, {"loss": 1.0})
    copy.close("FINISHED", timeout_s=0.1)
    assert time.perf_counter() - started < 20  # less than the server hangs
    release.set()
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
