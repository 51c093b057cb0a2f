"""One MLflow run: open or reopen it, and write to it. Every function here blocks, and raises what MLflow raises."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from filelock import FileLock

from igrpo.tracking.links import is_server, sqlite_path

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: Tag: how many bytes of metrics.jsonl the run holds. It is written together with the points.
SENT_TAG = "igrpo.metrics_bytes"

#: A server that is down must cost seconds, not MLflow's four minutes. The user's own settings go first.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_CONNECT_TIMEOUT_S = 3.0
_CREATION_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class RunTarget:
    """Which run to open: an earlier one (``run_id``), or a new one in ``experiment``."""

    tracking_uri: str
    experiment: str
    run_name: str | None = None
    run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def mlflow_client(tracking_uri: str) -> MlflowClient:
    """A client with our settings; imports MLflow (seconds).

    Raises:
        OSError: nothing answers at a server's address.
    """
    if is_server(tracking_uri) and not getproxies():  # behind a proxy only MLflow's own request can tell
        address = urlsplit(tracking_uri)
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=_CONNECT_TIMEOUT_S).close()
    return _import_mlflow()(tracking_uri)


def _import_mlflow() -> type[MlflowClient]:
    """MLflow with our settings, which it reads when it is imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient


class MlflowRun:
    """A run that is open for writing."""

    def __init__(self, client: MlflowClient, run_id: str, experiment_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.experiment_id = experiment_id

    def log_points(self, lines: Sequence[Mapping[str, Any]], sent: int) -> None:
        """Log lines of metrics.jsonl in one request, and with them how far into the file that is."""
        from mlflow.entities import Metric, RunTag

        points = [
            Metric(name, float(value), int(line["time"] * 1000), line["step"])
            for line in lines
            for name, value in line.items()
            if name not in {"step", "time"}
        ]
        self.client.log_batch(self.run_id, metrics=points, tags=[RunTag(SENT_TAG, str(sent))])

    def sent(self) -> int:
        """How many bytes of metrics.jsonl the run holds."""
        return int(self.client.get_run(self.run_id).data.tags.get(SENT_TAG, "0"))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log the parameters that the run does not have yet: MLflow refuses to change one."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        new = [Param(name, value) for name, value in params.items() if name not in known]
        self.client.log_batch(self.run_id, params=new)

    def log_table(self, columns: dict[str, list[Any]], file: str) -> None:
        self.client.log_table(self.run_id, columns, file)

    def log_artifact(self, path: Path, folder: str | None) -> None:
        self.client.log_artifact(self.run_id, str(path), folder)

    def ping(self) -> None:
        """Raises when MLflow cannot be reached."""
        self.client.get_run(self.run_id)

    def terminate(self, status: str, ended: float | None = None) -> None:
        """Write how the run ended (``ended`` in seconds since 1970; now by default)."""
        self.client.set_terminated(self.run_id, status, None if ended is None else int(ended * 1000))


def open_run(target: RunTarget) -> MlflowRun:
    """Open the run and set its status to RUNNING, its tags to ``target.tags``.

    Raises:
        OSError, mlflow.exceptions.MlflowException: MLflow cannot be reached or refuses.
    """
    database = sqlite_path(target.tracking_uri)
    # MLflow crashes when two processes create the tables, or the experiment, at the same time.
    lock: AbstractContextManager[Any] = nullcontext()
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
        _import_mlflow()  # takes seconds: not while holding the lock
        lock = FileLock(f"{database}.lock", timeout=_CREATION_TIMEOUT_S)
    with lock:
        client = mlflow_client(target.tracking_uri)
        if target.run_id is None:
            experiment_id = _experiment(client, target.experiment, database)
            run = client.create_run(experiment_id, run_name=target.run_name, tags=dict(target.tags))
            return MlflowRun(client, run.info.run_id, experiment_id)
        run = client.get_run(target.run_id)
        client.update_run(target.run_id, status="RUNNING")
    reopened = MlflowRun(client, target.run_id, run.info.experiment_id)
    reopened.set_tags(target.tags)
    return reopened


def _experiment(client: MlflowClient, name: str, database: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # Beside the database, else MLflow makes ./mlruns wherever the process happens to run.
    location = None if database is None else (database.parent.absolute() / "mlflow-artifacts").as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        # Another process may have created it on the server since we looked.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)
