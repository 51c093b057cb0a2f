"""Parent run of a sweep in MLflow, with the sweep's parameters, status, table and report.

The sweep's directory contains the same data. So if MLflow is down, there is one warning and the sweep continues. Each
later call tries again, and opens the run if it is not open yet.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from igrpo.runs.links import absolute_tracking_uri
from igrpo.runs.mlflow_client import MlflowRun, RunTarget, mlflow_client, open_run
from igrpo.runs.params import flatten_params
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_directory import RunStatus
from igrpo.sweeps.compare_view import store_compare_view

_log = logging.getLogger(__name__)

#: Number of attempts: a database that many runs write to may refuse once.
_TRIES = 2
_RETRY_S = 1.0
_PAGE = 1000

T = TypeVar("T")


class Child(NamedTuple):
    """A child of a parent run. ``status`` is MLflow's (RUNNING, FINISHED, FAILED, KILLED)."""

    run_id: str
    name: str
    status: str


class SweepRun:
    """Parent run of a sweep, open for writing; see ``open_sweep_run``.

    Every method blocks. Errors of MLflow are not raised.
    """

    def __init__(self, target: RunTarget, directory: Path, params: Mapping[str, str]) -> None:
        self._target, self._directory, self._params = target, directory, params
        self._run: MlflowRun | None = None
        self._warned = False

    @property
    def run_id(self) -> str | None:
        """The run's id; None until MLflow is reached."""
        return None if self._run is None else self._run.run_id

    @property
    def experiment_id(self) -> str | None:
        """The experiment's id; None until MLflow is reached."""
        return None if self._run is None else self._run.experiment_id

    @property
    def tracking_uri(self) -> str:
        """The tracking address, with an absolute path if it is a database."""
        return self._target.tracking_uri

    def log_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write a table to tables/NAME.json, replacing an existing one.

        Raises:
            ValueError: the columns have different lengths.
        """
        if len({len(values) for values in columns.values()}) > 1:
            lengths = {column: len(values) for column, values in columns.items()}
            raise ValueError(f"table {name}: the columns have different lengths: {lengths}")
        self._do(lambda run: run.log_table(columns, f"tables/{name}.json"))

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's artifacts, under ``folder``.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file")
        self._do(lambda run: run.log_artifact(path, folder))

    def log_artifacts(self, directory: Path, folder: str | None = None) -> None:
        """Copy the contents of ``directory`` to the run's artifacts, under ``folder``.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        if not directory.is_dir():
            raise FileNotFoundError(f"{directory} is no folder")
        self._do(lambda run: run.log_artifacts(directory, folder))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set MLflow tags."""
        self._do(lambda run: run.set_tags(tags))

    def finish(self, status: RunStatus) -> None:
        """Write the sweep's final status."""
        self._do(lambda run: run.terminate(status))

    def children(self) -> list[Child]:
        """Return the sweep's runs in the order of their start; empty if MLflow cannot be reached."""
        return self._do(_children) or []

    def store_view(self, base: str, group_by: str) -> str | None:
        """Store a view of the sweep's curves, grouped by a tag. Returns its link; None if MLflow cannot be reached."""
        return self._do(
            lambda run: store_compare_view(run.client, base, run.experiment_id, run.run_id, group_by=group_by)
        )

    def open(self) -> None:
        """Open the run if it is not open yet."""
        self._do(lambda run: None)

    def _do(self, action: Callable[[MlflowRun], T]) -> T | None:
        for attempt in range(1, _TRIES + 1):
            try:
                return action(self._opened())
            except Exception as error:  # whatever MLflow, its database driver or its HTTP client raises
                if attempt == _TRIES:
                    self._complain(error)
                else:
                    time.sleep(_RETRY_S)
        return None

    def _opened(self) -> MlflowRun:
        if self._run is None:
            self._run = open_run(self._target)
        if self._params:
            self._run.log_params(self._params)
            self._params = {}
        return self._run

    def _complain(self, error: Exception) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        _log.log(
            level,
            "MLflow at %s does not take something of this sweep (%s). The sweep goes on; %s has all of it.",
            self.tracking_uri,
            reason,
            self._directory,
        )


def open_sweep_run(
    *,
    tracking_uri: str,
    experiment: str,
    name: str,
    directory: Path,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    run_id: str | None = None,
) -> SweepRun:
    """Open the parent run, and create the database and the experiment, before the first run starts.

    Importing MLflow takes seconds. If MLflow cannot be reached, there is one warning, and ``run_id`` of the returned
    SweepRun is None.

    Args:
        tracking_uri: MLflow's address; a relative sqlite path is relative to the working directory.
        experiment: the MLflow experiment.
        name: the run's name.
        directory: the sweep's folder.
        params: parameters of the run: what the sweep varies, and over which values.
        tags: MLflow tags, in addition to those for kind, folder, process and host.
        run_id: the earlier run of a resumed sweep, whose status is set to RUNNING (a new run if it was deleted).

    Raises:
        ValueError: MLflow does not accept a parameter's name.
    """
    directory = directory.absolute()
    ours = {"igrpo.kind": "sweep", "igrpo.run_directory": str(directory)} | ProcessMark.current().as_tags()
    target = RunTarget(
        tracking_uri=absolute_tracking_uri(tracking_uri, Path.cwd()),
        experiment=experiment,
        run_name=name,
        run_id=run_id,
        tags=dict(tags) | ours,
    )
    sweep = SweepRun(target, directory, flatten_params(params))
    sweep.open()
    return sweep


def children(tracking_uri: str, run_id: str) -> list[Child]:
    """Return the children of a parent run, in the order of their start.

    Raises:
        OSError, mlflow.exceptions.MlflowException: MLflow cannot be reached, or has no such run.
    """
    client = mlflow_client(absolute_tracking_uri(tracking_uri, Path.cwd()))
    return _children(MlflowRun(client, run_id, client.get_run(run_id).info.experiment_id))


def _children(parent: MlflowRun) -> list[Child]:
    query = f"tags.`mlflow.parentRunId` = '{parent.run_id}'"
    found: list[Child] = []
    token: str | None = None
    while token is None or token:
        page = parent.client.search_runs(
            [parent.experiment_id],
            query,
            max_results=_PAGE,
            order_by=["attributes.start_time ASC", "attributes.run_name ASC"],
            page_token=token,
        )
        found += [Child(run.info.run_id, run.info.run_name, run.info.status) for run in page]
        token = page.token or ""
    return found
