"""Where the runs of a report come from: the question of their sweep, and their pages in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from igrpo.config.composing.folders import choices
from igrpo.report.model import Link
from igrpo.report.runs import LoadedRun
from igrpo.runs.links import compare_link, is_server, run_link, sqlite_path, ui_address, ui_command
from igrpo.runs.sweep_directory import SweepDirectory, SweepRecord

#: Largest number of runs that a link to MLflow's comparison names; with more, its address would be too long.
_MOST_COMPARED = 100

#: Name of a sweep whose grid was given on the command line.
_UNNAMED = "sweep"


def sweep_record(runs: Sequence[LoadedRun]) -> SweepRecord | None:
    """Return the record of the sweep that all runs belong to; None if there is none or it cannot be read."""
    sweeps = {run.sweep for run in runs}
    only = sweeps.pop() if len(sweeps) == 1 else None
    if only is not None and (directory := SweepDirectory(only)).exists:
        with suppress(OSError, ValueError):
            return directory.read()
    return None


def sweep_title(runs: Sequence[LoadedRun]) -> str | None:
    """Return the question of the runs' sweep, else its name; None if they are not of one named sweep."""
    record = sweep_record(runs)
    if record is None or record.name == _UNNAMED:
        return None
    questions = {choice.name: choice.description for choice in choices("sweep")}
    return record.question or questions.get(record.name) or record.name


def mlflow_links(runs: Sequence[LoadedRun]) -> tuple[Link, ...]:
    """Return the command that starts MLflow's page, if it needs one, and the links to the sweep and to the runs.

    Empty if the runs were not logged, or not all to the same place.
    """
    logged = [run.mlflow for run in runs if run.mlflow is not None]
    if len({(place.uri, place.experiment_id) for place in logged}) != 1:
        return ()
    uri, experiment, _ = logged[0]
    if not (is_server(uri) or sqlite_path(uri)):
        return ()
    base = ui_address(uri)
    links = [] if is_server(uri) else [Link(name="MLflow starts with", address=ui_command(uri))]
    sweep = sweep_record(runs)
    if sweep is not None and sweep.mlflow_run_id is not None and sweep.mlflow_experiment_id is not None:
        address = run_link(base, sweep.mlflow_experiment_id, sweep.mlflow_run_id)
        links.append(Link(name="MLflow: the sweep", address=address))
    ids = [place.run_id for place in logged]
    if len(ids) == 1:
        links.append(Link(name="MLflow: the run", address=run_link(base, experiment, ids[0])))
    elif len(ids) <= _MOST_COMPARED:
        links.append(Link(name="MLflow: runs side by side", address=compare_link(base, [experiment], ids)))
    return tuple(links)
