"""The files of a table: table.md, table.json, and for curves the figure of the runs' report."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from igrpo.disk import disk_errors
from igrpo.files import atomic_path, shown_path, write_json_atomic, write_text_atomic
from igrpo.runs.console import get_console
from igrpo.sweeps.mlflow_parent import REPORT_FOLDER
from igrpo.tools.reproduce.grids import PlannedGrid
from igrpo.tools.reproduce.measuring import measure
from igrpo.tools.reproduce.page import markdown, print_result
from igrpo.tools.reproduce.printed import footnotes, printed_rows
from igrpo.tools.reproduce.request import Request
from igrpo.tools.reproduce.result import TableResult, as_json
from igrpo.tools.reproduce.tables import AVERAGE, scale_of

#: Figure of the report of a sweep that a table of this kind has.
_FIGURES = {"entropy": "entropy"}


def write_table(request: Request, planned: Sequence[PlannedGrid], command: str) -> TableResult:
    """Measure the rows, write the table's files, print it, and return it.

    Raises:
        DiskFullError: the disk is full; earlier files are kept.
    """
    result = table_result(request, planned, command)
    paths = {name: request.output / name for name in ("table.md", "table.json")}
    with disk_errors(request.output):
        request.output.mkdir(parents=True, exist_ok=True)
        write_text_atomic(paths["table.md"], markdown(result))
        write_json_atomic(paths["table.json"], as_json(result))
        figures = _copy_figures(request, planned)
    print_result(result, get_console())
    for path in [*paths.values(), *figures]:
        print(shown_path(path))
    return result


def table_result(request: Request, planned: Sequence[PlannedGrid], command: str) -> TableResult:
    """Return the measured rows of a table with the printed numbers beside them."""
    table, scale = request.table, request.scale
    paper = scale_of(request.name, table, quick=False, model=None if request.quick else request.model)
    return TableResult(
        name=request.name,
        title=table.title,
        kind=table.kind,
        unit=table.unit,
        comparable=not request.quick,
        columns=(*scale.columns, *([AVERAGE] if scale.average else [])),
        rows=tuple(measure(planned, scale, table.kind, request.output)),
        printed_columns=tuple(table.printed_columns.values()),
        printed=tuple(printed_rows(table, paper)),
        notes=table.notes,
        footnotes=tuple(footnotes(table)),
        command=command,
        version=version("igrpo"),
    )


def _copy_figures(request: Request, planned: Sequence[PlannedGrid]) -> list[Path]:
    """Copy the figure that the report of each sweep has drawn of what the table shows, if it has."""
    stem = _FIGURES.get(request.table.kind)
    copied = []
    for one in planned if stem else ():
        drawn = sorted((one.directory.path / REPORT_FOLDER / "figures").glob(f"{stem}*.svg"))
        for path in drawn[:1]:
            target = request.output / f"{request.name}-{one.grid.name}.svg"
            with atomic_path(target) as temporary:
                shutil.copyfile(path, temporary)
            copied.append(target)
    return copied
