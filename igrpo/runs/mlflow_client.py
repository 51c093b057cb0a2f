"""Opening, reopening and writing an MLflow run. Every function blocks, and raises what MLflow raises."""

from __future__ import annotations

import json
import logging
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies
from uuid import uuid4

from filelock import FileLock

from igrpo.lazy_imports import collection_paused
from igrpo.runs.headline import headline_metrics
from igrpo.runs.links import is_server, sqlite_path, without_password
from igrpo.runs.strict_json import compact_json

if TYPE_CHECKING:
    from mlflow.store.entities import PagedList
    from mlflow.tracking import MlflowClient

#: Tag with a name chosen before the run is created. It finds the run again if the server's response is lost.
_OPENING_TAG = "igrpo.opening"

#: MLflow's tag with a run's description, in Markdown.
NOTE_TAG = "mlflow.note.content"

#: Tags with the last description and name that igrpo wrote. If the run has others, a user has edited them.
DESCRIPTION_TAG, NAME_TAG = "igrpo.description", "igrpo.name"

#: MLflow's tag that makes its UI show a file as a table, and the artifact folder of the tables.
_TABLES_TAG = "mlflow.loggedArtifacts"
TABLES = "tables"

#: Settings for MLflow, unless the user has set them. A server that is down must cost seconds, not MLflow's four
#: minutes. A busy one may take as long as its database waits for a lock (20 s). MLflow must not retry a request: that
#: could create a run twice, and the callers of this module retry themselves.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
#: MLflow accepts at most 1,000 points and tags per request, and 100 parameters.
_POINTS_PER_REQUEST = 999
_PARAMS_PER_REQUEST = 100

_CONNECT_TIMEOUT_S, _CREATION_TIMEOUT_S = 3.0, 120.0


@dataclass(frozen=True)
class RunTarget:
    """Run to open: an earlier one (``run_id``), or a new one in ``experiment``.

    Opening the same target again opens the same run, which is found by the name ``opening``.
    """

    tracking_uri: str
    experiment: str
    run_name: str | None = None
    run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    opening: str = field(default_factory=lambda: uuid4().hex)


def mlflow_client(tracking_uri: str) -> MlflowClient:
    """Create a client with igrpo's settings. Importing MLflow takes seconds.

    Raises:
        OSError: the server does not respond.
    """
    if is_server(tracking_uri) and not getproxies():  # behind a proxy only a request shows whether the server is up
        address = urlsplit(tracking_uri)
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=_CONNECT_TIMEOUT_S).close()
    with collection_paused():  # the client imports its store
        return _import_mlflow()(tracking_uri)


def _import_mlflow() -> type[MlflowClient]:
    """Import MLflow with igrpo's settings, which it reads at import."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs tracebacks of errors it raises
    return MlflowClient


def all_pages(search: Callable[[str | None], PagedList[Any]]) -> Iterator[Any]:
    """Yield the results of all pages. ``search`` returns the page of a token (None: the first page)."""
    token: str | None = None
    while token != "":
        page = search(token)
        yield from page
        token = page.token or ""


def milliseconds(line: Mapping[str, Any]) -> int:
    """Return the time of a line of metrics.jsonl as MLflow stores it."""
    return int(line["time"] * 1000)


class MlflowRun:
    """An MLflow run that is open for writing."""

    def __init__(self, client: MlflowClient, run_id: str, experiment_id: str) -> None:
        self.client, self.run_id, self.experiment_id = client, run_id, experiment_id

    def log_points(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Log lines of metrics.jsonl, with their headline metrics. MLflow drops a point that it already has."""
        from mlflow.entities import Metric

        points = [
            Metric(name, float(value), milliseconds(line), line["step"])
            for line in lines
            for name, value in (headline_metrics(line) | dict(line)).items()
            if name not in {"step", "time"}
        ]
        for start in range(0, len(points), _POINTS_PER_REQUEST):
            self.client.log_batch(self.run_id, metrics=points[start : start + _POINTS_PER_REQUEST])

    def newest_time(self) -> int | None:
        """Return the largest time among the last points of all metrics, in milliseconds; None without a point."""
        metrics = self.client.get_run(self.run_id).data.to_proto().metrics
        return max((metric.timestamp for metric in metrics), default=None)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def reopen(self, target: RunTarget) -> None:
        """Set the status RUNNING, and the name and tags of ``target``. A name that a user has changed is kept."""
        run = self.client.get_run(self.run_id)
        tags, name = dict(target.tags), None
        if target.run_name is not None and run.info.run_name == run.data.tags.get(NAME_TAG):
            name = tags[NAME_TAG] = target.run_name
        self.client.update_run(self.run_id, status="RUNNING", name=name)
        self.set_tags(tags)

    def describe(self, text: str, addition: str = "") -> None:
        """Write the run's description: ``text`` and ``addition``. One that a user has written or edited is kept."""
        tags = self.client.get_run(self.run_id).data.tags
        note = tags.get(NOTE_TAG, "")
        if note in {"", tags.get(DESCRIPTION_TAG, text)}:
            new = f"{text}\n\n{addition}".rstrip()
            self.set_tags({NOTE_TAG: new, DESCRIPTION_TAG: new})

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log the parameters that the run does not have yet: MLflow refuses to change one."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        new = [Param(name, value) for name, value in params.items() if name not in known]
        for start in range(0, len(new), _PARAMS_PER_REQUEST):
            self.client.log_batch(self.run_id, params=new[start : start + _PARAMS_PER_REQUEST])

    def log_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write the table tables/NAME.json, replacing an existing one.

        (MLflow's own log_table appends, so a repeated attempt would duplicate the rows.)
        """
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        file, content = f"{TABLES}/{name}.json", {"columns": list(columns), "data": rows}
        self.client.log_text(self.run_id, compact_json(content), file)
        self._show_as_table(file)

    def upload(self, path: Path, folder: str | None) -> None:
        """Copy a file to the artifacts, under ``folder``; of settings (YAML), a copy without passwords.

        In the folder ``tables``, it is shown as a table.
        """
        if path.suffix == ".yaml":
            text = without_password(path.read_text(encoding="utf-8"))
            self.client.log_text(self.run_id, text, path.name if folder is None else f"{folder}/{path.name}")
        else:
            self.client.log_artifact(self.run_id, str(path), folder)
        if folder == TABLES:
            self._show_as_table(f"{TABLES}/{path.name}")

    def _show_as_table(self, file: str) -> None:
        tables = json.loads(self.client.get_run(self.run_id).data.tags.get(_TABLES_TAG, "[]"))
        entry = {"path": file, "type": "table"}
        if entry not in tables:
            self.client.set_tag(self.run_id, _TABLES_TAG, json.dumps([*tables, entry]))

    def ping(self) -> None:
        """Raise an error if MLflow cannot be reached."""
        self.client.get_run(self.run_id)

    def terminate(self, status: str, ended: float | None = None) -> None:
        """Write the run's final status and end time (``ended`` in seconds since 1970, now by default)."""
        self.client.set_terminated(self.run_id, status, None if ended is None else int(ended * 1000))


def open_run(target: RunTarget) -> MlflowRun:
    """Open the run, set its status to RUNNING, its name (unless a user has changed it) and the tags ``target.tags``.

    A missing database or experiment is created. A new run is created if ``target.run_id`` is None or does not exist.

    Raises:
        OSError, mlflow.exceptions.MlflowException: MLflow cannot be reached or refuses the request.
    """
    database = sqlite_path(target.tracking_uri)
    # MLflow crashes when two processes create the tables, or the experiment, at the same time.
    lock: AbstractContextManager[Any] = nullcontext()
    if database is not None and not _has_experiment(database, target.experiment):
        database.parent.mkdir(parents=True, exist_ok=True)
        with collection_paused():
            _import_mlflow()  # takes seconds: not while holding the lock
        lock = FileLock(f"{database}.lock", timeout=_CREATION_TIMEOUT_S)
    with lock:
        client = mlflow_client(target.tracking_uri)
        earlier = None if target.run_id is None else _find(client, target.run_id)
        if earlier is None:
            return _create(client, target, database)
        earlier.reopen(target)
    return earlier


def _has_experiment(database: Path, name: str) -> bool:
    """True if the experiment exists already, so that the runs of a sweep need not wait for each other."""
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            query = "SELECT 1 FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
            return connection.execute(query, (name,)).fetchone() is not None
    except sqlite3.Error:  # there is none, another process is creating it, or it is locked
        return False


def _find(client: MlflowClient, run_id: str) -> MlflowRun | None:
    from mlflow.exceptions import MlflowException

    try:
        return MlflowRun(client, run_id, client.get_run(run_id).info.experiment_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _create(client: MlflowClient, target: RunTarget, database: Path | None) -> MlflowRun:
    experiment_id = _experiment(client, target.experiment, database)
    if database is None:  # a server may have created it in an earlier attempt that timed out
        found = client.search_runs([experiment_id], f"tags.`{_OPENING_TAG}` = '{target.opening}'", max_results=1)
        if found:
            return MlflowRun(client, found[0].info.run_id, experiment_id)
    tags = dict(target.tags) | {_OPENING_TAG: target.opening}
    if target.run_name is not None:
        tags[NAME_TAG] = target.run_name
    run = client.create_run(experiment_id, run_name=target.run_name, tags=tags)
    return MlflowRun(client, run.info.run_id, experiment_id)


def _experiment(client: MlflowClient, name: str, database: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # Next to the database; by default MLflow creates ./mlruns in the working directory.
    location = None if database is None else (database.parent.absolute() / "mlflow-artifacts").as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        # Another process may have created it on the server since we looked.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)
