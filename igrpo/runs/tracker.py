"""Tracking of a run's metrics in metrics.jsonl and MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from igrpo.runs.headline import settings_first
from igrpo.runs.links import absolute_tracking_uri, without_password
from igrpo.runs.metrics_file import MetricsFile
from igrpo.runs.mlflow_client import TABLES, MlflowRun, RunTarget
from igrpo.runs.mlflow_datasets import DatasetInput, log_datasets
from igrpo.runs.mlflow_sync import MlflowSync
from igrpo.runs.naming import short_params
from igrpo.runs.params import flatten_params
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_directory import RunDirectory, RunStatus

#: Artifact folder of the evaluations, from which a report can be made without the run's directory.
EVALUATIONS = "evaluations"


class Tracker:
    """Writes a run's metrics to metrics.jsonl, and copies its directory to MLflow, with parameters and tags.

    MLflow is written in a thread (see MlflowSync), so a server that is slow or down never blocks the caller.

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
        interval_s, retry_s: see MlflowSync.
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
        self._sync: MlflowSync | None = None
        if self.tracking_uri is not None:
            earlier = directory.read_record()
            same = resume_step is not None and earlier.mlflow_tracking_uri == self.tracking_uri
            target = RunTarget(
                tracking_uri=self.tracking_uri,
                experiment=experiment,
                run_name=run_name or directory.path.name,
                run_id=earlier.mlflow_run_id if same else None,
                tags=_tags(directory, dict(tags or {}), parent_run_id, resume_step),
            )
            self._sync = MlflowSync(
                target,
                subject="run",
                record=directory.metrics,
                metrics=directory.metrics,
                files=lambda: uploads(directory),
                on_open=lambda run: _attach(directory, target, run),
                interval_s=interval_s,
                retry_s=retry_s,
            )
            self._sync.start(connect_timeout_s)

    @property
    def run(self) -> MlflowRun | None:
        """The MLflow run; None without MLflow, or until MLflow is reached."""
        return None if self._sync is None else self._sync.run

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one line to metrics.jsonl, which the thread copies to MLflow.

        Raises:
            ValueError: a name is not allowed, or the step is before the last one.
            DiskFullError: the disk is full.
        """
        self._file.append(step, metrics)

    def log_params(self, config: Mapping[str, Any]) -> None:
        """Log a nested config and the swept settings as MLflow parameters, without passwords.

        Existing parameters are not changed.
        """
        swept = flatten_params(short_params(self._swept))
        params = settings_first(swept | flatten_params(config), swept)  # the same name has the same value in both
        params = {name: without_password(value) for name, value in params.items()}
        if self._sync is not None:
            self._sync.put("the parameters", lambda run: run.log_params(params))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set MLflow tags, for values that may change during a run."""
        copy = dict(tags)
        if self._sync is not None:
            self._sync.put(f"the tags {', '.join(copy)}", lambda run: run.set_tags(copy))

    def describe(self, text: str, addition: str = "") -> None:
        """Write the description of the MLflow run; see ``MlflowRun.describe``."""
        if self._sync is not None:
            self._sync.put("the description", lambda run: run.describe(text, addition))

    def log_datasets(self, datasets: Sequence[DatasetInput]) -> None:
        """Log the data sets that the run reads as inputs of the MLflow run."""
        if self._sync is not None:
            self._sync.put("the data sets", lambda run: log_datasets(run, datasets))

    def close(self, status: RunStatus) -> None:
        """Send what is left and set the MLflow run's status."""
        self._file.close()
        if self._sync is not None:
            self._sync.close(status, self._close_timeout_s)


def uploads(directory: RunDirectory) -> Iterator[tuple[Path, str | None]]:
    """Yield the files of a run's directory that MLflow has a copy of, each with its artifact folder."""
    for path in (directory.config, directory.summary, directory.fingerprints):
        if path.is_file():
            yield path, None
    for path in sorted(directory.evaluations.glob("*.json")):
        kind = path.stem.rpartition("-")[0]
        if kind != "development":  # its accuracy is among the metrics
            yield path, TABLES if kind == "samples" else EVALUATIONS


def _attach(directory: RunDirectory, target: RunTarget, run: MlflowRun) -> None:
    directory.attach_mlflow(target.tracking_uri, run.experiment_id, run.run_id)


def _tags(
    directory: RunDirectory, tags: dict[str, str], parent_run_id: str | None, resume_step: int | None
) -> dict[str, str]:
    tags |= ProcessMark.current().as_tags() | {"igrpo.run_directory": str(directory)}
    if parent_run_id is not None:
        tags["mlflow.parentRunId"] = parent_run_id
    if resume_step is not None:
        tags["igrpo.resumed_from_step"] = str(resume_step)
    return tags
