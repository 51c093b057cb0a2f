"""Writing of a report to files: the page, its figures, the tables, and all numbers as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from igrpo.console import waiting
from igrpo.disk import disk_errors
from igrpo.files import atomic_path, write_json_atomic, write_text_atomic
from igrpo.report.model import Report

if TYPE_CHECKING:
    from igrpo.report.figure_style import Figure


@waiting("drawing the figures and writing the report")
def write_report(report: Report, directory: Path, figures: Sequence[Figure] | None = None) -> dict[str, Path]:
    """Write all files of a report to a folder. The folder is created; files of an earlier report in it are replaced.

    Folders of runs are written relative to ``directory``, so that the links hold after all of it is moved. ``figures``
    are those of the report if they have been drawn already.

    Returns:
        The paths of ``page`` (report.html), ``numbers`` (report.json), ``markdown`` and ``latex`` (tables.md,
        tables.tex) and ``figures`` (the folder of NAME.svg and NAME.png).

    Raises:
        ValueError: the folder cannot be created, because a file is in its place or permission is missing.
        DiskFullError: the disk is full.
    """
    from igrpo.report import page, tables
    from igrpo.report.figures import draw_figures

    report = with_relative_folders(report, directory)
    paths = {
        "page": directory / "report.html",
        "numbers": directory / "report.json",
        "markdown": directory / "tables.md",
        "latex": directory / "tables.tex",
        "figures": directory / "figures",
    }
    with disk_errors(directory):
        try:
            paths["figures"].mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"{directory}: it, its folder 'figures' or a parent of it is no folder") from None
        except PermissionError:
            raise ValueError(f"{directory}: no permission to write there") from None
        write_json_atomic(paths["numbers"], report.model_dump(mode="json"))
        drawn = draw_figures(report) if figures is None else figures
        for figure in drawn:
            write_text_atomic(paths["figures"] / f"{figure.name}.svg", figure.svg)
            with atomic_path(paths["figures"] / f"{figure.name}.png") as temporary:
                temporary.write_bytes(figure.png)
        write_text_atomic(paths["markdown"], tables.markdown(report))
        write_text_atomic(paths["latex"], tables.latex(report))
        write_text_atomic(paths["page"], page.html(report, drawn))
    return paths


def with_relative_folders(report: Report, directory: Path) -> Report:
    """Return the report with the folders of its runs relative to the one in which it is written."""
    runs = (
        run if run.folder is None else run.model_copy(update={"folder": _relative(run.folder, directory)})
        for run in report.runs
    )
    return report.model_copy(update={"runs": tuple(runs)})


def _relative(folder: str, start: Path) -> str:
    return Path(os.path.relpath(folder, start.absolute())).as_posix()


def default_directory(runs: Sequence[Path]) -> Path:
    """Return where the report on these runs is written: in the folder if they are one, else ./report."""
    return runs[0] / "report" if len(runs) == 1 and not runs[0].is_file() else Path("report")  # a file is a bundle
