"""Tracking of a run's metrics in metrics.jsonl and MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from igrpo.disk import disk_errors
from igrpo.files import write_json_atomic
from igrpo.runs.follower import Action, Follower
from igrpo.runs.links import absolute_tracking_uri
from igrpo.runs.metrics_file import MetricsFile
from igrpo.runs.mlflow_client import SENT_TAG, MlflowRun, RunTarget, open_run
from igrpo.runs.naming import short_params
from igrpo.runs.params import flatten_params
from igrpo.runs.process import ProcessMark
from igrpo.runs.rollout_lines import table_columns
from igrpo.runs.run_directory import RunDirectory, RunStatus


class Tracker:
    """Writes metrics, parameters, tags, tables and files of one run.

    MLflow is written in a thread (see Follower), so a server that is slow or down never blocks the caller.

    Args:
        directory: the run's folder, after ``RunDirectory.begin``.
        tracking_uri: MLflow's address; a relative sqlite path is relative to the working directory. None: no MLflow.
        experiment: the MLflow experiment.
        run_name: the run's name in MLflow (default: the folder's name).
        tags: MLflow tags, in addition to those for process, host and folder.
        parent_run_id: id of the parent run in MLflow.
        swept: settings that the run's sweep varies (dotted key to value). ``log_params`` also logs them under short
            names, as columns for the comparison of runs.
        resume_step: step of the checkpoint from which a run is resumed; None for a new run. metrics.jsonl is truncated
            after this step, and the same MLflow run is reopened. If it does not exist at this address, a new one is
            created and filled from metrics.jsonl.
        interval_s, retry_s: see Follower.
        connect_timeout_s: maximum time that the constructor waits for MLflow, in seconds.
        close_timeout_s: time after which ``close`` gives up if MLflow accepts nothing, in seconds.
    """

    def __init__(
        self,
        directory: RunDirectory,
        *,
        tracking_uri: str | None,
        experiment: str = "igrpo",
        run_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        parent_run_id: str | None = None,
        swept: Mapping[str, str] | None = None,
        resume_step: int | None = None,
        interval_s: float = 10.0,
        retry_s: float = 30.0,
        connect_timeout_s: float = 60.0,
        close_timeout_s: float = 60.0,
    ) -> None:
        self.directory = directory
        self.experiment = experiment
        self.tracking_uri = None if tracking_uri is None else absolute_tracking_uri(tracking_uri, Path.cwd())
        self._swept = dict(swept or {})
        self._close_timeout_s = close_timeout_s
        self._file = MetricsFile(directory.metrics)
        if resume_step is not None:
            self._file.truncate_after(resume_step)
        self._size_at_start = directory.metrics.stat().st_size
        self._follower: Follower | None = None
        self._opened: MlflowRun | None = None
        if self.tracking_uri is not None:
            record = directory.read_record()
            same = resume_step is not None and record.mlflow_tracking_uri == self.tracking_uri
            target = RunTarget(
                tracking_uri=self.tracking_uri,
                experiment=experiment,
                run_name=run_name or directory.path.name,
                run_id=record.mlflow_run_id if same else None,
                tags=_tags(directory, dict(tags or {}), parent_run_id, resume_step),
            )
            self._follower = Follower(
                directory.metrics,
                lambda: self._open(target),
                name=self.tracking_uri,
                interval_s=interval_s,
                retry_s=retry_s,
            )
            self._follower.start(connect_timeout_s)

    @property
    def run(self) -> MlflowRun | None:
        """The MLflow run; None without MLflow, or until MLflow is reached."""
        return None if self._follower is None else self._follower.run

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one line to metrics.jsonl, which the thread copies to MLflow.

        Raises:
            ValueError: a name is not allowed, or the step is before the last one.
            DiskFullError: the disk is full.
        """
        self._file.append(step, metrics)

    def log_params(self, config: Mapping[str, Any]) -> None:
        """Log a nested config and the swept settings as MLflow parameters. Existing parameters are not changed."""
        params = flatten_params(config)
        params = flatten_params(short_params(self._swept)) | params  # the same name has the same value in both
        self._submit(lambda run: run.log_params(params))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set MLflow tags, for values that may change during a run."""
        copy = dict(tags)
        self._submit(lambda run: run.set_tags(copy))

    def log_table(self, name: str, rows: Sequence[dict[str, Any]]) -> Path:
        """Write a table (see rollout_lines.table_row) to evaluations/NAME.json and to MLflow.

        Use a different name for each evaluation. Returns the file.

        Raises:
            ValueError: the rows have different columns.
            DiskFullError: the disk is full.
        """
        columns = table_columns(rows)
        path = self.directory.evaluations / f"{name}.json"
        with disk_errors(path):
            write_json_atomic(path, {"columns": list(columns), "data": [list(row.values()) for row in rows]})
        self._submit(lambda run: run.log_table(columns, f"tables/{name}.json"))
        return path

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to MLflow's artifacts, under ``folder``. The file is read later, so do not delete it."""
        self._submit(lambda run: run.log_artifact(path, folder))

    def close(self, status: RunStatus) -> None:
        """Send what is left and set the MLflow run's status."""
        self._file.close()
        if self._follower is not None:
            self._follower.close(status, self._close_timeout_s)

    def _submit(self, action: Action) -> None:
        if self._follower is not None:
            self._follower.submit(action)

    def _open(self, target: RunTarget) -> tuple[MlflowRun, int]:
        if self._opened is None:  # the calls below may fail and be retried on the same run
            self._opened = open_run(target)
        run = self._opened
        # MLflow may have points of lost steps, after the truncated file's end; lines that it lacks are sent again.
        sent = min(run.sent(), self._size_at_start)
        run.set_tags({SENT_TAG: str(sent)})
        self.directory.attach_mlflow(target.tracking_uri, run.experiment_id, run.run_id)
        return run, sent


def _tags(
    directory: RunDirectory, tags: dict[str, str], parent_run_id: str | None, resume_step: int | None
) -> dict[str, str]:
    tags |= ProcessMark.current().as_tags() | {"igrpo.run_directory": str(directory)}
    if parent_run_id is not None:
        tags["mlflow.parentRunId"] = parent_run_id
    if resume_step is not None:
        tags["igrpo.resumed_from_step"] = str(resume_step)
    return tags
