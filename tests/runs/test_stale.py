"""Runs that say RUNNING: which are put right, which are left alone, and what is written of their end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.store.entities import PagedList

from igrpo.runs.links import default_tracking_uri
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.stale import _dead_on_server, repair_stale_runs

#: When the dead run last wrote something, in seconds since 1970.
LAST_SIGN = 1_700_000_000.0


@pytest.fixture(scope="module")
def dead() -> ProcessMark:
    """A process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    mark = ProcessMark.current()
    process.wait()
    return ProcessMark(mark.host, process.pid, time.time() - 100, mark.pid_namespace)


def directory(path: Path, mark: ProcessMark, **changes: Any) -> RunDirectory:
    """A run directory that says RUNNING by that process, and was last written at ``LAST_SIGN``."""
    made = RunDirectory(path)
    made.create()
    record = made.begin().model_copy(
        update={"host": mark.host, "pid": mark.pid, "pid_started": mark.started, **changes}
    )
    made.record_file.write_text(record.model_dump_json())
    os.utime(made.record_file, (LAST_SIGN, LAST_SIGN))
    return made


def seconds(text: str | None) -> float:
    assert text is not None
    return datetime.fromisoformat(text).timestamp()


def test_a_dead_run_ended_when_it_last_wrote_something(dead: ProcessMark, tmp_path: Path) -> None:
    made = directory(tmp_path / "runs" / "a", dead)
    assert repair_stale_runs(None, [tmp_path]) == [str(made)]
    record = made.read_record()
    assert record.status == "KILLED"
    assert seconds(record.ended) == LAST_SIGN


def test_a_living_run_without_a_lock_is_left_alone(tmp_path: Path) -> None:
    """A run that is being started has written run.json, and may not have the lock yet."""
    made = directory(tmp_path / "a", ProcessMark.current())
    assert repair_stale_runs(None, [tmp_path]) == []
    assert made.read_record().status == "RUNNING"


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_that_has_ended_stays_as_it_ended(status: str, dead: ProcessMark, tmp_path: Path) -> None:
    made = directory(tmp_path / "a", dead, status=status)
    assert repair_stale_runs(None, [tmp_path]) == []
    assert (made.read_record().status, made.read_record().ended) == (status, None)


@pytest.mark.parametrize("meanwhile", ["resumed", "finished"])
def test_a_run_that_changed_before_its_lock_was_had(
    meanwhile: str, dead: ProcessMark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the lock another process has resumed it, or has put it right already."""
    made, acquire = directory(tmp_path / "a", dead), RunDirectory.acquire

    @contextmanager
    def late(self: RunDirectory) -> Iterator[None]:
        with acquire(self):
            if meanwhile == "resumed":
                self.begin()
            else:
                self.finish("FINISHED")
            yield

    monkeypatch.setattr(RunDirectory, "acquire", late)
    assert repair_stale_runs(None, [tmp_path]) == []
    assert made.read_record().status == {"resumed": "RUNNING", "finished": "FINISHED"}[meanwhile]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return default_tracking_uri(tmp_path_factory.mktemp("database"))


def started(uri: str, tags: Mapping[str, str]) -> Any:
    """A client and the id of a run that says RUNNING in MLflow."""
    from igrpo.runs.mlflow_client import RunTarget, open_run

    return open_run(RunTarget(uri, "stale", tags=tags))


@pytest.mark.parametrize("folder", [True, False], ids=["with its folder", "its folder is gone"])
def test_a_dead_run_ends_in_mlflow_too(folder: bool, dead: ProcessMark, uri: str, tmp_path: Path) -> None:
    """At the time of its last sign of life; now, where nothing tells of it."""
    made = directory(tmp_path / "a", dead) if folder else RunDirectory(tmp_path / "a")
    opened = started(uri, {**dead.as_tags(), "igrpo.run_directory": str(made)})
    before = time.time()
    assert repair_stale_runs(uri) == ([str(made)] if folder else []) + [opened.run_id]
    info = opened.client.get_run(opened.run_id).info
    assert info.status == "KILLED"
    if folder:
        assert info.end_time / 1000 == seconds(made.read_record().ended) == LAST_SIGN
    else:
        assert before - 1 <= info.end_time / 1000 <= time.time() + 1


def test_a_run_found_by_its_folder_has_one_end_in_both_places(dead: ProcessMark, uri: str, tmp_path: Path) -> None:
    opened = started(uri, dead.as_tags())
    ids = {"mlflow_tracking_uri": uri, "mlflow_run_id": opened.run_id}
    made = directory(tmp_path / "runs" / "a", dead, **ids)
    assert repair_stale_runs(None, [tmp_path / "runs"]) == [str(made), opened.run_id]
    info = opened.client.get_run(opened.run_id).info
    assert info.status == "KILLED"
    assert info.end_time / 1000 == seconds(made.read_record().ended) == LAST_SIGN


def test_a_process_is_read_from_the_tags_of_every_version() -> None:
    mark = ProcessMark("a-host", 7, 12.5, "pid:[1]")
    old = {"igrpo.host": "b", "igrpo.pid": "8", "igrpo.pid_started": "1.0", "igrpo.pid_namespace": "pid:[2]"}
    assert ProcessMark.from_tags(mark.as_tags()) == mark
    assert ProcessMark.from_tags(old) == ProcessMark("b", 8, 1.0, "pid:[2]")
    assert ProcessMark.from_tags(old | mark.as_tags()) == mark  # resumed by this version


@pytest.mark.parametrize("tags", [{}, {"igrpo.host": "a-host"}, {"igrpo.run_directory": "/nowhere"}])
def test_a_run_without_a_process_of_ours_is_left_alone(tags: dict[str, str], uri: str) -> None:
    opened = started(uri, tags)
    assert repair_stale_runs(uri) == []
    assert opened.client.get_run(opened.run_id).info.status == "RUNNING"


def test_a_living_run_is_left_alone_in_mlflow(uri: str) -> None:
    opened = started(uri, ProcessMark.current().as_tags())
    assert repair_stale_runs(uri) == []
    assert opened.client.get_run(opened.run_id).info.status == "RUNNING"


@pytest.mark.parametrize("text", ["{", "[1]", '{"host": "a"}', "null", '{"host": "HOST", "pid": "x", "started": 1}'])
def test_a_process_that_igrpo_did_not_write_stops_no_repair(text: str, dead: ProcessMark, uri: str) -> None:
    foreign = started(uri, {"igrpo.process": text.replace("HOST", dead.host), "igrpo.host": dead.host})
    ours = started(uri, dead.as_tags())
    assert _dead_on_server(ours.client) == [ours.run_id]
    assert repair_stale_runs(uri) == [ours.run_id]
    assert foreign.client.get_run(foreign.run_id).info.status == "RUNNING"


def test_a_server_is_asked_for_the_runs_of_this_host(dead: ProcessMark) -> None:
    asked: list[str] = []

    def search_runs(experiments: list[str], query: str, page_token: str | None) -> PagedList[Any]:
        asked.append(query)
        return PagedList([], None)

    client: Any = SimpleNamespace(search_experiments=lambda page_token: PagedList([], None), search_runs=search_runs)
    assert _dead_on_server(client) == []
    assert f"tags.`igrpo.host` = '{dead.host}'" in asked[0]
