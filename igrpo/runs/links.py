"""Tracking addresses: where they point, and the command and links that show a run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urlsplit

#: The MLflow UI opens in its GenAI mode without this.
_MODE = {"workflowType": "machine_learning"}
_QUERY = f"?{urlencode(_MODE)}"


def default_tracking_uri(folder: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, else the sqlite database ``mlflow.db`` in ``folder``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.absolute() / 'mlflow.db'}"


def default_experiment() -> str:
    """MLFLOW_EXPERIMENT_NAME where it is set, else ``igrpo``."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "igrpo"


def is_server(uri: str) -> bool:
    """Whether the address is that of a tracking server."""
    return urlsplit(uri).scheme in {"http", "https"}


def sqlite_path(uri: str) -> Path | None:
    """The database file of a sqlite address, None for any other address."""
    prefix = "sqlite:///"
    if not uri.startswith(prefix):
        return None
    return Path(unquote(uri.removeprefix(prefix).partition("?")[0]))


def absolute_tracking_uri(uri: str, folder: Path) -> str:
    """The same address, with a relative sqlite path taken from ``folder``."""
    path = sqlite_path(uri)
    if path is None or path.is_absolute():
        return uri
    return f"sqlite:///{(folder / path).absolute()}"


def ui_command(uri: str, port: int = 5000) -> str:
    """The shell command that opens the MLflow UI on a database.

    Raises:
        ValueError: the address is a server's, which has a UI already.
    """
    if is_server(uri):
        raise ValueError(f"{uri} is a tracking server: open it in a browser")
    return f"{_mlflow_program()} ui --backend-store-uri {shlex.quote(uri)} --port {port}"


def _mlflow_program() -> str:
    """``mlflow`` where the shell would find the one of this environment, else its path."""
    beside = Path(sys.executable).with_name("mlflow")
    found = shutil.which("mlflow")
    if not beside.exists() or (found is not None and Path(found).samefile(beside)):
        return "mlflow"
    inside = beside.is_relative_to(Path.cwd())
    return shlex.quote(str(beside.relative_to(Path.cwd()) if inside else beside))


def experiment_link(base: str, experiment_id: str) -> str:
    """The page of an experiment's runs; ``base`` is the UI's address, such as http://127.0.0.1:5000."""
    return f"{base.rstrip('/')}/#/experiments/{quote(experiment_id)}/runs{_QUERY}"


def run_link(base: str, experiment_id: str, run_id: str) -> str:
    """The page of one run."""
    return f"{base.rstrip('/')}/#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}{_QUERY}"


def compare_link(base: str, experiment_ids: Sequence[str], run_ids: Sequence[str]) -> str:
    """The page that compares runs side by side: parameters, last metrics, parallel coordinates.

    The address cannot say which metric is plotted: MLflow takes one, and the page has a menu for the others.
    """
    runs = {"runs": _json(run_ids), "experiments": _json(experiment_ids)}
    return f"{base.rstrip('/')}/#/compare-runs?{urlencode(runs | _MODE)}"


def grouped_runs_link(base: str, experiment_id: str, view: str) -> str:
    """The runs page with its charts, as a stored view shows it (see ``compare_view.store_compare_view``)."""
    query = _MODE | {"compareRunsMode": "CHART", "viewStateShareKey": view}
    return f"{base.rstrip('/')}/#/experiments/{quote(experiment_id)}/runs?{urlencode(query)}"


def _json(values: Sequence[str]) -> str:
    return json.dumps(list(values), separators=(",", ":"))
