"""Tags, tracking address and links of a run in MLflow."""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Sequence
from contextlib import suppress

from igrpo.config import RunConfig
from igrpo.runs.command import API
from igrpo.runs.description import data_label, model_label
from igrpo.runs.links import is_server, run_link, sqlite_path, ui_address, ui_command, without_password
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.tracker import Tracker
from igrpo.runs.versions import git_commit


def run_tags(config: RunConfig) -> dict[str, str]:
    """Return the tags by which runs are found and grouped in MLflow, in the order of its page.

    (Everything that igrpo itself reads has the prefix ``igrpo.``.)
    """
    return {
        "condition": config.condition,
        "seed": str(config.seed),
        "algorithm": config.algorithm.name,
        "objective": config.objective.name,
        "model": model_label(config),
        "data": data_label(config),
    }


def origin_tags(command: Sequence[str]) -> dict[str, str]:
    """Return MLflow's own tags for the user, the program and the commit of the code, and one for the command line."""
    # MLflow's page shows a source from its last slash on, so a command line would lose its beginning there.
    parts = [API if API in command[:1] else "igrpo", *map(without_password, command[1:])]
    tags = {"mlflow.source.name": " ".join(parts[:2] if parts[0] != API else parts[:1]), "mlflow.source.type": "LOCAL"}
    tags["igrpo.command"] = shlex.join(parts)
    with suppress(OSError, KeyError, ImportError):  # a user without an entry, as in some containers
        tags["mlflow.user"] = getpass.getuser()
    commit = git_commit()
    return tags if commit is None else tags | {"mlflow.source.git.commit": commit.removesuffix("-dirty")}


def tracking_uri(config: RunConfig, directory: RunDirectory, *, resume: bool) -> str | None:
    """Return the run's tracking address. A resumed run keeps the relative database of the directory it started in."""
    uri = config.tracking.uri
    path = None if uri is None else sqlite_path(uri)
    if not resume or path is None or path.is_absolute():
        return uri
    return directory.read_record().mlflow_tracking_uri or uri


def mlflow_links(tracker: Tracker) -> dict[str, str] | None:
    """Return the link to the run's page, and without a server the command that starts the UI; None without MLflow."""
    run = tracker.run
    if run is None or tracker.tracking_uri is None:
        return None
    links = {"run_link": run_link(ui_address(tracker.tracking_uri), run.experiment_id, run.run_id)}
    return links | ({} if is_server(tracker.tracking_uri) else {"ui_command": ui_command(tracker.tracking_uri)})
