"""Paths in a run's directory, and ``run.json`` with the run's process, status and MLflow ids."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from igrpo.disk import disk_errors
from igrpo.files import write_json_atomic, write_text_atomic
from igrpo.runs.command import current_command, settings_in
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_lock import run_lock

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

#: Schema version of run.json that this code writes, and the newest that it reads.
SCHEMA_VERSION = 1


class RunRecord(BaseModel):
    """Contents of run.json.

    Times are ISO 8601 in UTC, but ``pid_started`` is in seconds since 1970. ``error`` is the reason why the run ended
    or could not be resumed. ``command`` is the newest command, and ``given`` has the settings of all of them: those of
    the start, and what each resume changed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    status: RunStatus
    host: str
    pid: int
    pid_started: float
    pid_namespace: str = ""
    mlflow_run_id: str | None = None
    mlflow_tracking_uri: str | None = None
    mlflow_experiment_id: str | None = None
    command: tuple[str, ...]
    given: dict[str, str] = {}
    created: str
    ended: str | None = None
    error: str | None = None

    @property
    def process(self) -> ProcessMark:
        """The process that works on the run, or worked on it last."""
        return ProcessMark(self.host, self.pid, self.pid_started, self.pid_namespace)


class RunDirectory:
    """Paths and records of one run's folder. Creating the object touches no file."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.jsonl"
        self.summary = self.path / "summary.json"
        self.fingerprints = self.path / "fingerprints.json"
        self.prompts = self.path / "prompts.txt"
        self.rollouts = self.path / "rollouts"
        self.checkpoints = self.path / "checkpoints"
        self.evaluations = self.path / "evaluations"
        self.failures = self.path / "failures"
        self.profile = self.path / "profile"
        self.judge_ledger = self.path / "judge.sqlite"
        self.record_file = self.path / "run.json"
        self.log = self.path / "log.txt"
        self.console = self.path / "console.txt"  # output of a sweep's run that has its own process
        self._writing = threading.Lock()  # the tracking thread writes MLflow's ids, the main thread the status

    def __str__(self) -> str:
        return str(self.path)

    def create(self) -> None:
        """Create the folders that do not exist yet.

        Raises:
            ValueError: a folder cannot be created, because a file is in its place or permission is missing.
        """
        with disk_errors(self.path):
            for folder in (self.path, self.rollouts, self.checkpoints, self.evaluations, self.failures):
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                except (FileExistsError, NotADirectoryError):
                    raise ValueError(f"run directory {self.path}: {folder} or a parent of it is not a folder") from None
                except PermissionError:
                    raise ValueError(f"run directory {self.path}: no permission to create {folder}") from None

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Lock the directory for this process; see ``run_lock`` for takeover and errors."""
        self.create()
        with run_lock(self.path):
            yield

    def save_config(self, values: Mapping[str, Any]) -> None:
        """Write config.yaml atomically. If the settings have changed, the old file is kept as config.previous.yaml."""
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=120)
        with disk_errors(self.config):
            if self.config.exists():
                before = self.config.read_text(encoding="utf-8")
                if before == text:
                    return
                write_text_atomic(self.config.with_name("config.previous.yaml"), before)
            write_text_atomic(self.config, text)

    def read_record(self) -> RunRecord:
        """Read run.json.

        Raises:
            ValueError: it is missing or broken, or a newer igrpo wrote it.
        """
        missing = f"{self.path} is not a run directory: it has no run.json"
        return RunRecord.model_validate(read_versioned(self.record_file, SCHEMA_VERSION, missing=missing))

    def begin(self, command: Sequence[str] | None = None) -> RunRecord:
        """Record that this process works on the run. A resumed run keeps its creation time and its MLflow ids."""
        mark = ProcessMark.current()
        mine: dict[str, Any] = {
            "status": "RUNNING",
            "host": mark.host,
            "pid": mark.pid,
            "pid_started": mark.started,
            "pid_namespace": mark.pid_namespace,
            "command": tuple(current_command() if command is None else command),
            "ended": None,
            "error": None,
        }
        with self._writing:
            if self.record_file.exists():
                earlier = self.read_record()
                given = earlier.given or settings_in(earlier.command)  # an older igrpo wrote none
                mine["given"] = given | settings_in(mine["command"])
                return self._write(earlier.model_copy(update=mine))
            return self._write(RunRecord(created=_now(), given=settings_in(mine["command"]), **mine))

    def attach_mlflow(self, tracking_uri: str, experiment_id: str, run_id: str) -> RunRecord:
        """Record the ids of the run in MLflow."""
        ids = {"mlflow_tracking_uri": tracking_uri, "mlflow_experiment_id": experiment_id, "mlflow_run_id": run_id}
        with self._writing:
            return self._write(self.read_record().model_copy(update=ids))

    def finish(self, status: RunStatus, ended: float | None = None, error: str | None = None) -> RunRecord:
        """Record the final status, the end time (``ended`` in seconds since 1970, now by default) and the reason."""
        with self._writing:
            update = {"status": status, "ended": _now(ended), "error": error}
            return self._write(self.read_record().model_copy(update=update))

    def explain(self, error: str) -> None:
        """Record why an unfinished run could not be resumed. Its status and end time are kept."""
        with self._writing:
            record = self.read_record()
            if record.status != "FINISHED":
                self._write(record.model_copy(update={"error": error}))

    def last_sign_of_life(self) -> float:
        """Return the time when the run last wrote to a file (seconds since 1970)."""
        files = (self.metrics, self.log, self.summary, self.record_file)
        return max(file.stat().st_mtime for file in files if file.exists())

    def _write(self, record: RunRecord) -> RunRecord:
        with disk_errors(self.record_file):
            write_json_atomic(self.record_file, record.model_dump(mode="json"))
        return record


def read_versioned(path: Path, newest: int, *, missing: str) -> Any:
    """Read a JSON object and check its schema version.

    Raises:
        ValueError: there is no file (with ``missing`` as the message), or it is invalid; the message says why.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(missing) from None
    except ValueError as error:
        raise ValueError(f"{path} is broken: {error}") from None
    check_schema_version(path, raw, newest)
    return raw


def check_schema_version(path: Path, raw: Any, newest: int) -> None:
    """Check that ``raw`` is a JSON object with a schema version that this code can read.

    Raises:
        ValueError: it is not; the message names the file and the version.
    """
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"{path} has no valid schema_version (found {version!r}); it was not written by igrpo")
    if version > newest:
        raise ValueError(f"{path} has schema version {version}, this igrpo reads up to {newest}: update igrpo")


def _now(seconds: float | None = None) -> str:
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="seconds")
