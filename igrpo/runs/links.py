"""MLflow tracking addresses, and the command and links that show a run in the MLflow UI."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urlsplit

#: MLflow's default port of the UI.
_UI_PORT = 5000

#: Query parameter without which the MLflow UI opens in its GenAI mode.
_MODE = {"workflowType": "machine_learning"}
_QUERY = f"?{urlencode(_MODE)}"


#: Name and password in an address. In overrides its colon may have a backslash before it.
_USER = re.compile(r"""(\w[\w+.-]*\\?://)[^/\s'"]*@""")


def without_password(text: str) -> str:
    """Return a text without the names and passwords in its addresses, such as ``user:password@``."""
    return _USER.sub(r"\1", text)


def default_tracking_uri(folder: Path) -> str:
    """Return MLFLOW_TRACKING_URI if it is set, else the sqlite database ``mlflow.db`` in ``folder``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.absolute() / 'mlflow.db'}"


def default_experiment() -> str | None:
    """Return MLFLOW_EXPERIMENT_NAME; None if it is not set. (A run's experiment is then that of its data.)"""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or None


def is_server(uri: str) -> bool:
    """True if the address is that of a tracking server."""
    return urlsplit(uri).scheme in {"http", "https"}


def ui_address(uri: str) -> str:
    """Return the address of the MLflow UI: the tracking server's without a password, or the one of ``ui_command``."""
    return without_password(uri) if is_server(uri) else f"http://127.0.0.1:{_UI_PORT}"


def sqlite_path(uri: str) -> Path | None:
    """Return the database file of a sqlite address; None for any other address."""
    prefix = "sqlite:///"
    if not uri.startswith(prefix):
        return None
    return Path(unquote(uri.removeprefix(prefix).partition("?")[0]))


def absolute_tracking_uri(uri: str, folder: Path) -> str:
    """Return the address, with a relative sqlite path resolved against ``folder``."""
    path = sqlite_path(uri)
    if path is None or path.is_absolute():
        return uri
    return f"sqlite:///{(folder / path).absolute()}"


def ui_command(uri: str, port: int = _UI_PORT) -> str:
    """Return the shell command that starts the MLflow UI on a database, without the password in its address.

    Raises:
        ValueError: the address is that of a server, which already has a UI.
    """
    if is_server(uri):
        raise ValueError(f"{without_password(uri)} is a tracking server: open it in a browser")
    return f"{_mlflow_program()} ui --backend-store-uri {shlex.quote(without_password(uri))} --port {port}"


def _mlflow_program() -> str:
    """Return ``mlflow`` if the shell finds the program of this environment, else its path."""
    beside = Path(sys.executable).with_name("mlflow")
    program = shutil.which("mlflow")
    if not beside.exists() or (program is not None and Path(program).samefile(beside)):
        return "mlflow"
    inside = beside.is_relative_to(Path.cwd())
    return shlex.quote(str(beside.relative_to(Path.cwd()) if inside else beside))


def run_link(base: str, experiment_id: str, run_id: str) -> str:
    """Return the link to one run. ``base`` is the UI's address, such as http://127.0.0.1:5000."""
    return f"{base.rstrip('/')}/#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}{_QUERY}"


def compare_link(base: str, experiment_ids: Sequence[str], run_ids: Sequence[str]) -> str:
    """Return the link to a side-by-side comparison of runs: parameters, last metrics, parallel coordinates."""
    runs = {"runs": _json(run_ids), "experiments": _json(experiment_ids)}
    return f"{base.rstrip('/')}/#/compare-runs?{urlencode(runs | _MODE)}"


def view_link(base: str, experiment_id: str, view: str, *, charts: bool) -> str:
    """Return the link to the runs page in a stored view (see ``compare_view.store_compare_view``).

    ``charts``: its charts beside the list of runs, else the table of runs.
    """
    query = _MODE | {"compareRunsMode": "CHART" if charts else "TABLE", "viewStateShareKey": view}
    return f"{base.rstrip('/')}/#/experiments/{quote(experiment_id)}/runs?{urlencode(query)}"


def _json(values: Sequence[str]) -> str:
    return json.dumps(list(values), separators=(",", ":"))
