"""Results of a sweep: its table, its report, and its run in MLflow."""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any

from rich.text import Text

from igrpo.config import read_config
from igrpo.files import write_text_atomic
from igrpo.runs.console import get_console
from igrpo.runs.links import is_server, ui_address, ui_command
from igrpo.runs.mlflow_sync import MlflowSync
from igrpo.runs.naming import short_params
from igrpo.runs.printing import print_sweep
from igrpo.runs.sweep_directory import SweepDirectory, SweepRecord
from igrpo.sweeps.compare_view import PAGE, CompareView, store_compare_view
from igrpo.sweeps.mlflow_parent import REPORT_FOLDER, describe_sweep

#: Tag by which the curves are grouped; by default it is the algorithm.
_GROUP_BY = "condition"

#: Matches the error of a run that was paused by its judge's limit (see `igrpo.rewards.judge.store`).
_SPENT = re.compile(r"(\S+)=\S+ is spent: ")


def show(sweep: SweepDirectory, record: SweepRecord) -> int:
    """Print the table of all runs, and the errors of those that did not finish. Returns their number."""
    return print_sweep([(cell, sweep.state(cell)) for cell in record.cells], sweep.path)


def resume_arguments(sweep: SweepDirectory, record: SweepRecord) -> list[str]:
    """Return overrides for the limits that paused runs have reached, which must be raised to resume."""
    spent = (_SPENT.search(sweep.state(cell).error or "") for cell in record.cells)
    return list(dict.fromkeys(f"{match[1]}=MORE" for match in spent if match))


def publish(sweep: SweepDirectory, record: SweepRecord, parent: MlflowSync | None) -> None:
    """Write the report of the finished runs and print its verdict, then log both in MLflow, and print links."""
    finished = [sweep.run_directory(cell).path for cell in record.cells if sweep.state(cell).status == "FINISHED"]
    page = _report(sweep, sweep.path / REPORT_FOLDER) if finished else None
    print(f"sweep directory: {sweep.path}")
    if page is not None:
        print(f"its report: {page}")
    if parent is None:
        return
    table = _table(sweep, record)
    parent.put("the table of runs", lambda run: run.log_table("runs", table))
    _print_links(sweep, record, parent)


def _report(sweep: SweepDirectory, folder: Path) -> Path | None:
    """Write the report, print its verdict, and return its page. An error is printed, but does not fail the sweep."""
    from igrpo.report.compare import build_report
    from igrpo.report.console import print_verdict
    from igrpo.report.runs import find_runs
    from igrpo.report.write import write_report

    try:
        report = build_report(find_runs([sweep.path]), title=None, sources=(str(sweep.path),))
        print_verdict(report)
        return write_report(report, folder)["page"]
    except Exception as error:
        again = f"igrpo report {shlex.quote(str(sweep.path))}"
        write_text_atomic(sweep.path / "report-error.txt", traceback.format_exc())
        print(
            f"igrpo: the report failed ({type(error).__name__}: {error}); try: {again}",
            file=sys.stderr,
        )
        return None


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


def compare_view(sweep: SweepDirectory, record: SweepRecord, parent_run_id: str) -> CompareView:
    """Return the view of a sweep's runs in MLflow: grouped by condition, the swept settings as first columns."""
    configs = [config for cell in record.cells if (config := sweep.run_directory(cell).config).is_file()]
    swept = short_params(dict.fromkeys(record.swept_keys, ""))
    return CompareView(
        name=record.title(sweep.path),
        parent_run_id=parent_run_id,
        runs=len(record.cells),
        settings=[_GROUP_BY, *(name for name in swept if name not in {_GROUP_BY, "seed"}), "seed"],
        group_by=_GROUP_BY,
        groups=sorted({read_config(config).condition for config in configs}),
    )


def _print_links(sweep: SweepDirectory, record: SweepRecord, parent: MlflowSync) -> None:
    """Print links to pages that compare the runs: curves of each condition, and a table."""
    uri, run = record.tracking_uri, parent.run
    if run is None or uri is None:
        return
    base, view = ui_address(uri), compare_view(sweep, record, run.run_id)
    parent.put("the view of its runs", lambda run: store_compare_view(run.client, run.experiment_id, view))
    pages = {"curves by group": True, "table of runs": False}
    here = {name: view.link("", run.experiment_id, charts=charts) for name, charts in pages.items()}
    text = ", ".join(f"[{name}]({link})" for name, link in here.items())
    parent.put("the description", lambda run: run.describe(describe_sweep(record), text))
    links = {f"{name:<19}": f"{base.rstrip('/')}{link}" for name, link in here.items()}
    if not is_server(uri):
        links = {"in MLflow: run     ": ui_command(uri)} | links
    for name, link in links.items():
        get_console().print(Text.assemble((name, "cyan"), link), soft_wrap=True)
    if view.runs > PAGE:
        get_console().print(
            f'MLflow\'s pages load {PAGE} of the {view.runs} runs: "Load more" below the list loads more'
        )
