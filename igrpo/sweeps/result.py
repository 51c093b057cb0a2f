"""Results of a sweep: its table, its report, and its run in MLflow."""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.text import Text

from igrpo.files import write_text_atomic
from igrpo.runs.console import get_console
from igrpo.runs.links import compare_link, is_server, ui_command
from igrpo.runs.printing import print_sweep
from igrpo.runs.sweep_directory import SweepDirectory, SweepRecord
from igrpo.sweeps.mlflow_parent import SweepRun, open_sweep_run

REPORT_FOLDER = "report"
#: Matches the error of a run that was paused by its judge's limit (see `igrpo.rewards.judge.store`).
_SPENT = re.compile(r"(\S+)=\S+ is spent: ")


@contextmanager
def open_parent(sweep: SweepDirectory) -> Iterator[SweepRun | None]:
    """Open the sweep's run in MLflow, the parent of its runs; yield None if MLflow is not used.

    The database and the experiment are created before any run starts. The run's status is set when the block ends.
    """
    record = sweep.read()
    if record.tracking_uri is None:
        yield None
        return
    parent = open_sweep_run(
        tracking_uri=record.tracking_uri,
        experiment=record.experiment,
        name=f"{record.name} {sweep.path.name}",
        directory=sweep.path,
        params={
            "sweep": record.name,
            "swept": " ".join(record.swept_keys),
            "overrides": " ".join(record.overrides),
            **({} if record.is_search else {"runs": str(len(record.cells))}),
        },
        tags={},
        run_id=record.mlflow_run_id,
    )
    if parent.run_id is not None and parent.experiment_id is not None:
        sweep.attach_mlflow(parent.experiment_id, parent.run_id)
    try:
        yield parent
    except (KeyboardInterrupt, SystemExit):
        parent.finish("KILLED")
        raise
    except BaseException:
        parent.finish("FAILED")
        raise
    parent.finish("FINISHED")


def show(sweep: SweepDirectory, record: SweepRecord) -> int:
    """Print the table of all runs, and the errors of those that did not finish. Returns their number."""
    failed = print_sweep([(cell, sweep.state(cell)) for cell in record.cells], sweep.path)
    print(f"the sweep lies in {sweep.path}")
    return failed


def to_go_on(sweep: SweepDirectory, record: SweepRecord) -> list[str]:
    """Return overrides for the limits that paused runs have reached, which must be raised to resume."""
    spent = (_SPENT.search(sweep.state(cell).error or "") for cell in record.cells)
    return list(dict.fromkeys(f"{match[1]}=MORE" for match in spent if match))


def publish(sweep: SweepDirectory, record: SweepRecord, parent: SweepRun | None) -> None:
    """Write the report of the finished runs, log it and a table to the sweep's run in MLflow, and print links."""
    finished = [sweep.run_directory(cell).path for cell in record.cells if sweep.state(cell).status == "FINISHED"]
    folder = sweep.path / REPORT_FOLDER
    reported = bool(finished) and _report(sweep, record, folder)
    if parent is None or parent.run_id is None:
        return
    parent.log_table("runs", _table(sweep, record))
    if reported:
        parent.log_artifacts(folder, REPORT_FOLDER)
    _print_links(record, parent)


def _report(sweep: SweepDirectory, record: SweepRecord, folder: Path) -> bool:
    """Write the report. An error in it is printed, but does not fail the sweep. Returns True if it succeeded."""
    from igrpo.report.compare import build_report
    from igrpo.report.runs import find_runs
    from igrpo.report.write import write_report

    try:
        report = build_report(
            find_runs([sweep.path]), title=None if record.name == "sweep" else record.name, sources=(str(sweep.path),)
        )
        write_report(report, folder)
    except Exception as error:
        again = f"igrpo report {shlex.quote(str(sweep.path))}"
        write_text_atomic(sweep.path / "report-error.txt", traceback.format_exc())
        print(
            f"igrpo: the report failed ({type(error).__name__}: {error}); try: {again}",
            file=sys.stderr,
        )
        return False
    print(f"its report: {folder / 'report.html'}")
    return True


def _table(sweep: SweepDirectory, record: SweepRecord) -> dict[str, list[Any]]:
    """Return a table with one row per run, as columns."""
    rows: list[dict[str, Any]] = []
    for cell in record.cells:
        state = sweep.state(cell)
        single, drafted = state.summary.get("single_shot") or {}, state.summary.get("draft_conditioned") or {}
        tokens = state.summary.get("tokens") or {}
        rows.append(
            {
                "run": cell.number,
                "name": cell.name,
                "status": state.status,
                "before": single.get("before"),
                "after": single.get("after"),
                "draft_conditioned_after": drafted.get("after"),
                "samples": state.summary.get("samples"),
                "trained_tokens": tokens.get("trained"),
                "error": state.error,
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _print_links(record: SweepRecord, parent: SweepRun) -> None:
    """Print links to pages that compare the runs: side by side, and as curves grouped by condition."""
    uri, experiment = record.tracking_uri, parent.experiment_id
    assert uri is not None
    assert experiment is not None
    base = uri if is_server(uri) else "http://127.0.0.1:5000"
    runs = [child.run_id for child in parent.children()]
    out = get_console()
    if not is_server(uri):
        out.print(Text.assemble(("in MLflow: run     ", "cyan"), ui_command(uri)), soft_wrap=True)
    grouped = parent.store_view(base, group_by="condition")  # by default the algorithm
    for name, link in (
        ("curves by group    ", grouped),
        ("runs side by side  ", compare_link(base, [experiment], runs)),
    ):
        if link is not None:
            out.print(Text.assemble((name, "cyan"), link), soft_wrap=True)
