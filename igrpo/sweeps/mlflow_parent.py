"""Run of a sweep in MLflow, the parent of its runs, with the sweep's parameters, table and report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from igrpo.console import waiting
from igrpo.messages import count
from igrpo.runs.links import absolute_tracking_uri, without_password
from igrpo.runs.mlflow_client import RunTarget
from igrpo.runs.mlflow_sync import MlflowSync
from igrpo.runs.params import flatten_params
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_directory import RunStatus
from igrpo.runs.run_tracking import origin_tags
from igrpo.runs.sweep_directory import SweepDirectory, SweepRecord

#: Folder of the report in the sweep's directory, and among its artifacts in MLflow.
REPORT_FOLDER = "report"

#: Maximum waits for MLflow before the first run starts, and for an answer at the end, in seconds.
_CONNECT_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 60.0


@contextmanager
def open_parent(sweep: SweepDirectory) -> Iterator[MlflowSync | None]:
    """Open the sweep's run in MLflow, and write how the block ended as its status. Yield None if MLflow is not used.

    The database and the experiment are created before any run starts. A resumed sweep continues its earlier run (a new
    one if it was deleted). If MLflow cannot be reached, there is one warning, and the sweep goes on.
    """
    record = sweep.read()
    if record.tracking_uri is None:
        yield None
        return
    target = RunTarget(
        tracking_uri=absolute_tracking_uri(record.tracking_uri, Path.cwd()),
        experiment=record.experiment,
        run_name=record.title(sweep.path),
        run_id=record.mlflow_run_id,
        tags=origin_tags(record.command)
        | {"igrpo.kind": "sweep", "igrpo.run_directory": str(sweep)}
        | ProcessMark.current().as_tags(),
    )
    parent = MlflowSync(
        target,
        subject="sweep",
        record=sweep.path,
        files=lambda: _report_files(sweep.path),
        on_open=lambda run: sweep.attach_mlflow(run.experiment_id, run.run_id),
    )
    params = {
        "sweep": record.name,
        "swept": " ".join(record.swept_keys),
        "overrides": without_password(" ".join(record.overrides)),
        **({} if record.is_search else {"runs": str(len(record.cells))}),
    }
    parent.put("the description", lambda run: run.describe(describe_sweep(record)))
    parent.put("the parameters", lambda run: run.log_params(flatten_params(params)))
    with waiting("opening MLflow"):
        parent.start(_CONNECT_TIMEOUT_S)
    status: RunStatus = "FAILED"
    try:
        yield parent
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        with waiting("sending the report to MLflow"):
            parent.close(status, CLOSE_TIMEOUT_S)


def describe_sweep(record: SweepRecord) -> str:
    """Return a sentence that says what the sweep is, for its run in MLflow."""
    name = "" if record.name == "sweep" else f" {record.name}"
    what = "Search" if record.is_search else "Sweep"
    runs = "" if record.is_search else f"{count(len(record.cells), 'run')} "
    return f"{what}{name}: {runs}over {', '.join(record.swept_keys)}."


def _report_files(sweep: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted((sweep / REPORT_FOLDER).rglob("*")):
        inside = path.relative_to(sweep)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):  # those are being written
            yield path, inside.parent.as_posix()
