"""`igrpo report SWEEP --watch`: show a sweep's progress and keep its page up to date until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from igrpo.console import footer_of
from igrpo.files import write_text_atomic
from igrpo.report import page
from igrpo.report.console import print_report
from igrpo.report.figures import Figure, draw_figures
from igrpo.report.labels import moment
from igrpo.report.model import Report
from igrpo.report.runs import LoadedRun
from igrpo.report.sources import sweep_title
from igrpo.report.table import Rows, Table
from igrpo.report.write import default_directory, with_relative_folders, write_report
from igrpo.runs.console import get_console
from igrpo.runs.sweep_directory import CellState, SweepDirectory
from igrpo.sweeps.condition_progress import is_at_work, progress, progress_table, sweep_runs
from igrpo.sweeps.progress import states

#: Folder of the page in the sweep's directory. The sweep writes its own report, which MLflow gets, to another.
FOLDER = "watch"

#: Builds the report of the usable runs; raises ValueError if there is nothing to report.
Build = Callable[[Sequence[LoadedRun]], Report]


class LivePage:
    """Reads the files of a sweep, and writes its page. It never writes to the sweep's own files.

    Args:
        sweep: the sweep.
        out: folder of the report.
        every: seconds between two looks.
        effect: difference that the needed seeds are to show.
        build: makes the report.
    """

    def __init__(self, sweep: SweepDirectory, out: Path, *, every: float, effect: float, build: Build) -> None:
        self._sweep, self._out, self._every, self._effect, self._build = sweep, out, every, effect, build
        self.page = out / "report.html"
        self._finished: frozenset[str] = frozenset()
        self._figures: list[Figure] = []
        self.report: Report | None = None
        self.note = "no run has finished yet"

    def look(self) -> tuple[Table, bool]:
        """Read the sweep, write the page, and return the table of progress and whether the sweep is at work.

        Raises:
            ValueError, OSError: a file is missing or broken, perhaps for a moment.
        """
        found = states(self._sweep)
        at_work = is_at_work(self._sweep, found)
        runs = sweep_runs(self._sweep.path)
        self._update(runs, found)
        table = progress_table(progress(runs, found, self.report), runs, self._effect)
        now = moment(datetime.now(UTC).isoformat())
        live = page.Live(table, now, max(1, round(self._every)))
        if self.report is None:
            source = page.waiting(sweep_title(runs) or self._sweep.path.name, live)
        else:
            source = page.html(with_relative_folders(self.report, self._out), self._figures, live)
        write_text_atomic(self.page, source)
        return table, at_work

    def _update(self, runs: Sequence[LoadedRun], found: Mapping[str, CellState]) -> None:
        """Build the report anew if other runs are finished than at the last look; figures take seconds."""
        finished = frozenset(folder for folder, state in found.items() if state.status == "FINISHED")
        if finished == self._finished:
            return
        try:
            self.report, self.note = self._build(runs), ""
        except ValueError as error:
            self.note = str(error)
            return
        self._finished = finished
        self._figures = draw_figures(self.report)
        write_report(self.report, self._out, self._figures)

    def end(self) -> dict[str, Path] | None:
        """Write the report of the finished runs, whose page no longer loads itself; None if there is nothing in it."""
        try:
            self._update(sweep_runs(self._sweep.path), states(self._sweep))
        except (ValueError, OSError) as error:
            self.note = str(error)
        if self.report is None:
            self.page.unlink(missing_ok=True)
            return None
        return write_report(self.report, self._out, self._figures)

    def own_report(self) -> Path | None:
        """Return the page of the sweep's own report. It is written if the sweep has not: its driver was killed."""
        folder = default_directory([self._sweep.path])
        own, summaries = folder / "report.html", self._sweep.path.glob("*/summary.json")
        newest = max((path.stat().st_mtime for path in summaries), default=0.0)
        if own.is_file() and own.stat().st_mtime >= newest:
            return own
        return None if self.report is None else write_report(self.report, folder, self._figures)["page"]


def watch(sweep: SweepDirectory, out: Path, *, every: float, effect: float, build: Build) -> int:
    """Show the progress until the sweep has ended, then its report. Returns the exit code.

    Ctrl-C ends the watch with exit code 0, and leaves the sweep alone. A terminal is redrawn; to a file or a pipe, only
    changes are printed.
    """
    console, watched = get_console(), LivePage(sweep, out, every=every, effect=effect, build=build)
    has_ended = False
    try:
        _follow(watched, every, console)
        has_ended = True
    except KeyboardInterrupt:
        console.print(Text("no longer watched; the sweep goes on"))
    else:
        console.print(Text("the sweep has ended"))
    paths = watched.end()
    if watched.report is None or paths is None:
        console.print(Text(f"no report: {watched.note}", style="yellow"))
        return int(has_ended)
    print_report(watched.report, paths, console)
    own = watched.own_report() if has_ended else None
    if own is not None:
        console.print(Text(f"the sweep's own report: {own}"), soft_wrap=True)
    return 0


def _follow(watched: LivePage, every: float, console: Console) -> None:
    """Show the progress until the sweep has ended. On a terminal, the last one stays there."""
    footer = footer_of(console)
    shown: Rows = ()
    drawn: RenderableType = Text()

    def line() -> RenderableType:
        return drawn

    footer.add(line)
    try:
        while True:
            rows, drawn, has_ended = _look(watched)
            if footer.is_live:
                footer.refresh()
            elif rows != shown:
                console.print(drawn)
            shown = rows
            if has_ended:
                return
            time.sleep(every)
    finally:
        footer.remove(line)
        if footer.is_live:
            console.print(drawn)


def _look(watched: LivePage) -> tuple[Rows, RenderableType, bool]:
    """Return the rows of the progress, the text to show, and whether the sweep has ended."""
    try:
        table, at_work = watched.look()
    except (ValueError, OSError) as error:  # a file that is being written: the next look will find it whole
        return (("", str(error)),), Text(f"waiting: {error}", style="yellow"), False
    lines = [Text(f"page: {watched.page}; Ctrl-C ends the watch, not the sweep")]
    if watched.note:
        lines.append(Text(f"note: {watched.note}", style="yellow"))
    return table.rows, Group(_rich(table), *lines), not at_work


def _rich(table: Table) -> RichTable:
    """Return the table for 80 columns: an interval stands below its number."""
    made = RichTable(box=SIMPLE_HEAD, caption=Text(table.note), caption_justify="left")
    for number, title in enumerate(table.head):
        may_wrap = number in {0, len(table.head) - 1}  # a name, and what is still needed
        justify: JustifyMethod = "left" if number < table.words else "right"
        made.add_column(title, justify=justify, overflow="fold", no_wrap=not may_wrap)
    for row in table.rows:
        made.add_row(
            Text(row[0]), Text(row[1].replace(", ", ",\n")), *(Text(cell.replace(" [", "\n[")) for cell in row[2:])
        )
    return made
