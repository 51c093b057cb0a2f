"""Repair of runs that still have the status RUNNING although their process is dead, as after kill -9."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from igrpo.runs.links import absolute_tracking_uri, sqlite_path, without_password
from igrpo.runs.mlflow_client import MlflowRun, all_pages, mlflow_client
from igrpo.runs.process import HOST_TAG, ProcessMark
from igrpo.runs.run_directory import RunDirectory, RunRecord
from igrpo.runs.run_lock import RunDirectoryLockedError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_log = logging.getLogger(__name__)

_MAX_DEPTH = 4


def repair_stale_runs(tracking_uri: str | None, run_roots: Iterable[Path] = ()) -> list[str]:
    """Set the status KILLED in run.json and in MLflow for every run of this host whose process is dead.

    Runs of other hosts, and runs that are alive (or whose folder a living process has locked), are left unchanged.
    This is cheap if there is nothing to do: MLflow is imported only for a dead run, or to query a server.

    Args:
        tracking_uri: tracking address to search for runs whose folder is not below a root, or was deleted (None: no
            search).
        run_roots: folders that contain run directories, up to four levels deep.

    Returns:
        The run directories and MLflow run ids that were repaired. It is not an error if MLflow cannot be reached.
    """
    repaired: list[str] = []
    for path in _run_directories(run_roots):
        record = _repair_directory(RunDirectory(path))
        if record is None:
            continue
        repaired.append(str(path))
        if record.mlflow_tracking_uri and record.mlflow_run_id:
            repaired += _repair_mlflow(record.mlflow_tracking_uri, record.mlflow_run_id, _ended(record))
    if tracking_uri is not None:
        repaired += _repair_mlflow(absolute_tracking_uri(tracking_uri, Path.cwd()))
    for name in repaired:
        _log.warning("run %s said RUNNING, but its process is dead: now KILLED", name)
    return repaired


def _run_directories(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        for folder, folders, files in os.walk(root):
            if "run.json" in files:
                yield Path(folder)
                folders.clear()
            elif len(Path(folder).relative_to(root).parts) >= _MAX_DEPTH:
                folders.clear()


def _repair_directory(directory: RunDirectory) -> RunRecord | None:
    """Set KILLED if the process is dead. Returns the new contents of run.json, or None if nothing was changed."""
    try:
        if not _is_stale(directory.read_record()):
            return None
        with directory.acquire():
            # check again: another process may have resumed or repaired it before we had the lock
            if not _is_stale(directory.read_record()):
                return None
            return directory.finish("KILLED", ended=directory.last_sign_of_life())
    except RunDirectoryLockedError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("cannot check whether the process of %s is alive: %s", directory, error)
        return None


def _is_stale(record: RunRecord) -> bool:
    return record.status == "RUNNING" and record.process.is_dead()


def _ended(record: RunRecord) -> float | None:
    """Return the end time in run.json, in seconds since 1970."""
    return None if record.ended is None else datetime.fromisoformat(record.ended).timestamp()


def _dead_in_database(database: Path) -> list[str]:
    """Return the ids of RUNNING runs of dead processes in a sqlite database.

    The database is read with sqlite3, because importing MLflow takes seconds.

    Raises:
        sqlite3.Error: it is not an MLflow database, or has a different layout.
    """
    if not database.is_file():
        return []
    query = (
        "SELECT runs.run_uuid, tags.key, tags.value FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
        "WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active' AND tags.key LIKE 'igrpo.%'"
    )
    tags: dict[str, dict[str, str]] = {}
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        for run_id, key, value in connection.execute(query):
            tags.setdefault(run_id, {})[key] = value
    return [run_id for run_id, of_run in tags.items() if _is_dead(of_run)]


def _dead_on_server(client: MlflowClient) -> list[str]:
    running = f"attributes.status = 'RUNNING' AND tags.`{HOST_TAG}` = '{socket.gethostname()}'"
    experiments = all_pages(lambda token: client.search_experiments(page_token=token))
    ids = [experiment.experiment_id for experiment in experiments]
    runs = all_pages(lambda token: client.search_runs(ids, running, page_token=token))
    return [run.info.run_id for run in runs if _is_dead(run.data.tags)]


def _repair_mlflow(uri: str, run_id: str | None = None, ended: float | None = None) -> list[str]:
    """Repair the run ``run_id``, or (None) all runs of this host at that tracking address."""
    repaired: list[str] = []
    database = sqlite_path(uri)
    try:
        if run_id is None and database is not None and not (candidates := _dead_in_database(database)):
            return []
        client = mlflow_client(uri)
        if run_id is not None:
            candidates = [run_id]
        elif database is None:
            candidates = _dead_on_server(client)
        for candidate in candidates:
            run = client.get_run(candidate)
            if run.info.status == "RUNNING" and _is_dead(run.data.tags):
                if run_id is None:
                    ended = _repair_folder_of(run.data.tags, repaired)
                MlflowRun(client, candidate, run.info.experiment_id).terminate("KILLED", ended)
                repaired.append(candidate)
    except Exception as error:  # whatever MLflow, its database driver or its HTTP client raises
        _log.info("cannot look for stale runs in MLflow at %s: %s", without_password(uri), error)
    return repaired


def _repair_folder_of(tags: Mapping[str, str], repaired: list[str]) -> float | None:
    """Repair the folder of a run in MLflow, if it still exists. Returns the time of the last write there.

    The parent run of a sweep has a folder that contains runs, but no run.json.
    """
    if "igrpo.run_directory" not in tags:
        return None
    directory = RunDirectory(tags["igrpo.run_directory"])
    if not directory.record_file.is_file():
        cells = [RunDirectory(record.parent) for record in directory.path.glob("*/run.json")]
        return max((cell.last_sign_of_life() for cell in cells), default=None)
    record = _repair_directory(directory)
    if record is None:
        return directory.last_sign_of_life()
    repaired.append(str(directory))
    return _ended(record)


def _is_dead(tags: Mapping[str, str]) -> bool:
    try:
        mark = ProcessMark.from_tags(tags)
        return mark is not None and mark.is_dead()
    except (ValueError, TypeError, KeyError, OverflowError):  # a tag that igrpo did not write; others are still checked
        return False
