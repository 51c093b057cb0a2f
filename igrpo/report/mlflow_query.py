"""Loading of runs found through MLflow, from their folders on this machine or, if absent, from MLflow's own data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igrpo.report.curves import is_read
from igrpo.report.run_files import Reading, read_counters, read_settings, verdicts_before_and_after
from igrpo.report.runs import LoadedRun, MlflowPlace, load_run
from igrpo.runs.fingerprints import read_fingerprints
from igrpo.runs.links import sqlite_path, without_password
from igrpo.runs.mlflow_client import all_pages, mlflow_client
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.summary import read_summary

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run
    from mlflow.store.entities import PagedList
    from mlflow.tracking import MlflowClient

#: Tag that only runs of igrpo have: their folder on the machine where they ran.
DIRECTORY_TAG = "igrpo.run_directory"

#: Artifact folder to which training_run logs the evaluations of the test split.
EVALUATIONS = "evaluations"


def runs_from_mlflow(tracking_uri: str, experiment: str | None, filter_string: str) -> list[LoadedRun]:
    """Load the runs of igrpo in an MLflow experiment (None: in all of them), oldest first.

    A run whose folder is on this machine is read from there. For other runs MLflow has the measurements, the settings,
    the summary and the evaluations of the test split. If one of these is missing, it becomes the run's ``problem``.

    Args:
        filter_string: a filter in MLflow's own language, such as ``params.seed = '0' and tags.algorithm = 'igrpo'``;
            "" selects all runs.

    Raises:
        ValueError: MLflow cannot be reached, the experiment or a matching run does not exist, or the filter is invalid.
    """
    database = sqlite_path(tracking_uri)
    if database is not None and not database.is_file():
        raise ValueError(f"--uri {tracking_uri}: there is no database {database}")  # MLflow would create one
    try:
        client = mlflow_client(tracking_uri)
    except OSError as error:
        raise ValueError(f"--uri {without_password(tracking_uri)}: nothing answers there ({error})") from None
    found = _search(client, experiment, filter_string)
    ours = [run for run in found if DIRECTORY_TAG in run.data.tags and run.data.tags.get("igrpo.kind") != "sweep"]
    if not ours:
        foreign = f"; {len(found)} others there were not made by igrpo" if found else ""
        where = "any experiment" if experiment is None else f"experiment {experiment!r}"
        raise ValueError(f"--mlflow {filter_string!r}: no run of igrpo in {where}{foreign}")
    return [_load(client, run, tracking_uri) for run in ours]


def _search(client: MlflowClient, experiment: str | None, filter_string: str) -> list[Run]:
    from mlflow.exceptions import MlflowException

    try:
        known = {one.name: one.experiment_id for one in all_pages(lambda token: _experiments(client, token))}
        if experiment is not None and experiment not in known:
            raise ValueError(f"--experiment {experiment}: there is no such experiment; there are {', '.join(known)}")
        ids, order = list(known.values()) if experiment is None else [known[experiment]], ["start_time"]
        pages = all_pages(lambda token: client.search_runs(ids, filter_string, order_by=order, page_token=token))
        return list(pages)
    except MlflowException as error:
        raise ValueError(f"--mlflow {filter_string!r}: MLflow says: {error.message}") from None


def _experiments(client: MlflowClient, token: str | None) -> PagedList[Experiment]:
    return client.search_experiments(page_token=token)


def _load(client: MlflowClient, run: Run, tracking_uri: str) -> LoadedRun:
    folder = RunDirectory(run.data.tags[DIRECTORY_TAG])
    if _is_of(folder, run.info.run_id):
        return load_run(folder.path)
    with tempfile.TemporaryDirectory() as scratch:
        return _from_server(client, run, tracking_uri, Path(scratch))


def _is_of(folder: RunDirectory, run_id: str) -> bool:
    """True if the folder exists and belongs to this run; a path of another machine may name something else here."""
    if not folder.record_file.is_file():
        return False
    try:
        return folder.read_record().mlflow_run_id == run_id
    except ValueError:
        return True  # broken: load_run reports the problem


def _from_server(client: MlflowClient, run: Run, tracking_uri: str, scratch: Path) -> LoadedRun:
    where = f"{without_password(tracking_uri)}, run {run.info.run_id}"
    reading, status = Reading(), str(run.info.status)
    fetch = _fetcher(client, run.info.run_id, where, scratch)
    config = reading.attempt(lambda: read_settings(fetch("config.yaml"))) or {}
    if status != "FINISHED":
        reading.problems.append(f"its status in MLflow is {status}")
    lines = reading.attempt(lambda: _lines(client, run)) or []
    metrics = reading.attempt(lambda: read_counters(lines, where)) or []
    summary = reading.attempt(lambda: read_summary(fetch("summary.json")))
    evaluations = reading.attempt(lambda: fetch(EVALUATIONS)) or scratch / EVALUATIONS
    before, after = verdicts_before_and_after(evaluations, summary, reading)
    fingerprints = None
    if summary is not None and summary.fingerprints is not None:  # older versions of igrpo stored none
        fingerprints = reading.attempt(lambda: read_fingerprints(fetch("fingerprints.json")))
    return LoadedRun(
        name=run.info.run_name or run.info.run_id,
        path=None,
        config=config,
        status=status,
        ended=_iso(run.info.end_time or run.info.start_time),
        record=None,
        summary=summary,
        metrics=metrics,
        before=before,
        after=after,
        problem=reading.problems[0] if reading.problems else None,
        fingerprints=fingerprints,
        sweep=run.data.tags.get("mlflow.parentRunId"),
        mlflow=MlflowPlace(tracking_uri, run.info.experiment_id, run.info.run_id),
    )


def _fetcher(client: MlflowClient, run_id: str, where: str, scratch: Path) -> Callable[[str], Path]:
    from mlflow.exceptions import MlflowException

    # otherwise each of three small files per run shows a progress bar; a setting of the user takes precedence
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    def fetch(name: str) -> Path:
        try:
            return Path(client.download_artifacts(run_id, name, str(scratch)))
        except (MlflowException, OSError) as error:
            raise ValueError(f"{where}: its folder is not here, and MLflow has no artifact {name} ({error})") from None

    return fetch


def _lines(client: MlflowClient, run: Run) -> list[Mapping[str, Any]]:
    """Return one line per step with the metrics that the report reads.

    If a resumed run repeated a step, the newest values are used.
    """
    at: dict[int, dict[str, Any]] = {}
    for name in filter(is_read, run.data.metrics):
        for point in sorted(client.get_metric_history(run.info.run_id, name), key=lambda point: point.timestamp):
            at.setdefault(point.step, {"step": point.step})[name] = point.value
    return [at[step] for step in sorted(at)]


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
