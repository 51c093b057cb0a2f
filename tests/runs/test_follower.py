"""The follower against a stand-in for MLflow that fails on demand."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from igrpo.runs.follower import Follower
from igrpo.runs.metrics_file import MetricsFile


class FakeRun:
    """Takes points while ``up``; refuses everything when not."""

    def __init__(self) -> None:
        self.up = True
        self.steps: list[int] = []
        self.batches: list[int] = []
        self.sent = 0
        self.done: list[str] = []
        self.status: str | None = None

    def ping(self) -> None:
        if not self.up:
            raise ConnectionError("server is down")

    def log_points(self, lines: Sequence[Mapping[str, Any]], sent: int) -> None:
        self.ping()
        self.steps += [line["step"] for line in lines]
        self.batches.append(sum(len(line) - 2 for line in lines))
        self.sent = sent

    def terminate(self, status: str) -> None:
        self.ping()
        self.status = status


def follow(path: Path, run: FakeRun, connect: Callable[[], Any] | None = None, **settings: float) -> Follower:
    follower = Follower(
        path,
        connect or (lambda: (run, 0)),
        name="http://fake",
        **({"interval_s": 0.01, "retry_s": 0.01} | settings),
    )
    follower.start(timeout_s=5)
    return follower


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "did not happen within 5 s"
        time.sleep(0.005)


def test_an_outage_loses_no_point_repeats_none_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    follower = follow(file.path, run)
    for step in range(1, 301):
        run.up = not 50 <= step < 250
        file.append(step, {"loss": 1.0})
        if step % 50 == 0:
            time.sleep(0.05)
    wait_for(lambda: run.sent == file.path.stat().st_size)
    run.up = False
    file.append(301, {"loss": 1.0})
    time.sleep(0.05)
    run.up = True
    follower.close("FINISHED", timeout_s=5)
    assert run.steps == list(range(1, 302))
    assert run.status == "FINISHED"
    assert len(caplog.records) == 1
    assert "MLflow at http://fake does not take this run's metrics (ConnectionError: server is down)" in caplog.text
    assert str(file.path) in caplog.text


def test_a_server_that_comes_up_late_gets_everything(tmp_path: Path) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    attempts = []

    def connect() -> tuple[FakeRun, int]:
        attempts.append(1)
        if len(attempts) < 4:
            raise ConnectionError("not yet")
        return run, 0

    follower = follow(file.path, run, connect)
    follower.submit(lambda _: run.done.append("parameters"))
    file.append(1, {"loss": 1.0})
    wait_for(lambda: run.steps == [1] and run.done == ["parameters"])
    follower.close("FINISHED", timeout_s=5)
    assert len(attempts) == 4


def test_points_are_gathered_and_batches_fit_mlflow(tmp_path: Path) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    follower = follow(file.path, run, interval_s=60)
    for step in range(200):
        file.append(step, {f"m{i}": 1.0 for i in range(30)})
    follower.close("FINISHED", timeout_s=5)
    assert run.steps == list(range(200))
    assert sum(run.batches) == 6000
    assert max(run.batches) <= 1000
    assert len(run.batches) == 7  # 6,000 points, 900 a batch


def test_only_what_mlflow_lacks_is_sent_and_never_half_a_line(tmp_path: Path) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    for step in (1, 2):
        file.append(step, {"loss": 1.0})
    start = file.path.stat().st_size
    file.append(3, {"loss": 1.0})
    with file.path.open("ab") as torn:
        torn.write(b'{"step": 4, "time": 1.0, "lo')
    follower = follow(file.path, run, lambda: (run, start))
    follower.close("KILLED", timeout_s=5)
    assert run.steps == [3]


def test_an_action_that_mlflow_refuses_is_dropped_one_that_met_an_outage_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    follower = follow(file.path, run)

    def bad(_: object) -> None:
        raise ValueError("no such file")

    def good(_: object) -> None:
        run.ping()
        run.done.append("good")

    follower.submit(bad)
    wait_for(lambda: "no such file" in caplog.text)
    run.up = False
    follower.submit(good)
    time.sleep(0.05)
    assert run.done == []
    run.up = True
    follower.close("FINISHED", timeout_s=5)
    assert run.done == ["good"]


def test_what_fails_at_the_end_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
    follower = follow(file.path, run, interval_s=60)
    follower.close("FINISHED", timeout_s=5)
    assert run.steps == list(range(200))
    assert run.status == "FINISHED"
    assert caplog.records == []  # single failures, each mended by the next attempt


def test_the_end_waits_as_long_as_something_is_taken(tmp_path: Path) -> None:
    class SlowRun(FakeRun):
        def log_points(self, lines: Sequence[Mapping[str, Any]], sent: int) -> None:
            time.sleep(0.25)
            super().log_points(lines, sent)

    run, file = SlowRun(), MetricsFile(tmp_path / "metrics.jsonl")
    follower = follow(file.path, run, interval_s=60)
    for step in range(6):
        file.append(step, {f"m{i}": 1.0 for i in range(1000)})
    follower.close("FINISHED", timeout_s=1.0)  # six requests of 0.25 s
    assert run.steps == list(range(6))
    assert run.status == "FINISHED"


def test_an_end_that_is_not_taken_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    follower = follow(file.path, run)
    run.up = False
    file.append(1, {"loss": 1.0})
    follower.close("FINISHED", timeout_s=5)
    assert run.status is None
    assert caplog.messages[-1] == f"MLflow at http://fake lacks the end of this run; {file.path} is complete."


def test_an_action_that_meets_a_lock_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run, file = FakeRun(), MetricsFile(tmp_path / "metrics.jsonl")
    follower = follow(file.path, run, interval_s=60)

    def locked_once(_: object) -> None:
        run.done.append("try")
        if len(run.done) == 1:
            raise ConnectionError("database is locked")

    follower.submit(locked_once)
    follower.submit(lambda _: run.done.append("next"))
    follower.close("FINISHED", timeout_s=5)
    assert run.done == ["try", "try", "next"]
    assert run.status == "FINISHED"
    assert caplog.records == []


def test_a_server_that_never_answers_does_not_hold_up_start_or_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, release = MetricsFile(tmp_path / "metrics.jsonl"), threading.Event()

    def hang() -> Any:
        release.wait(30)
        raise ConnectionError

    follower = Follower(file.path, hang, name="http://fake")
    started = time.perf_counter()
    follower.start(timeout_s=0.1)
    file.append(1, {"loss": 1.0})
    follower.close("FINISHED", timeout_s=0.1)
    assert time.perf_counter() - started < 2
    release.set()
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
