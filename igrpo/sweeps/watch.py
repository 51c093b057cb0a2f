"""Console messages about the runs of a sweep: their starts and ends, and how far the sweep is."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.text import Text

from igrpo.console import footer_of
from igrpo.runs.console import get_console
from igrpo.runs.sweep_directory import CellRecord, CellState, SweepDirectory
from igrpo.sweeps.progress import SweepProgress

_INTERVAL_S = 1.0


class Watch:
    """Context manager that prints each change of a run's status, from a thread that reads the runs' files.

    It only reads files, so it works with every launcher whose runs share the file system. On a terminal the sweep's
    progress is a line at the bottom; elsewhere it is printed when a run has ended.

    Args:
        sweep: the sweep.
        cells: the watched runs.
        console: where to print.
        progress: counts the runs (None: no counts).
        announce: False if the runs print their starts and ends themselves, in this process.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        cells: Sequence[CellRecord],
        console: Console | None = None,
        *,
        progress: SweepProgress | None = None,
        announce: bool = True,
    ) -> None:
        self._sweep, self._cells = sweep, cells
        self._console = console if console is not None else get_console()
        self._footer, self._progress, self._announce = footer_of(self._console), progress, announce
        self._looking = threading.Lock()
        self._seen = {cell.number: sweep.state(cell).status for cell in self._cells}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sweep-watch", daemon=True)

    def __enter__(self) -> Watch:
        if self._progress is not None:
            self._progress.update()
            self._footer.add(self._progress.line)
        if self._announce or self._footer.is_live:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._progress is not None:
            self._footer.remove(self._progress.line)

    def _loop(self) -> None:
        while True:
            closing = self._closing.wait(_INTERVAL_S)
            self.look()
            if closing:
                return

    def look(self) -> None:
        """Print the changes since the last call."""
        with self._looking:
            ended = False
            for cell in self._cells:
                state = self._sweep.state(cell)
                if state.status != self._seen.get(cell.number, "WAITING"):
                    ended = ended or state.status not in {"WAITING", "RUNNING"}
                    if self._announce:
                        self._console.print(line(cell, state), soft_wrap=True)
                self._seen[cell.number] = state.status
            if self._progress is not None:
                self._progress.update()
                if ended and not self._footer.is_live:
                    self._console.print(self._progress.line(), soft_wrap=True)


def line(cell: CellRecord, state: CellState) -> Text:
    """Return one line with a run's name, status and result."""
    text = Text.assemble((f"run {cell.number} ", "cyan"), f"({cell.name}): ")
    if state.status == "FINISHED":
        after = (state.summary.get("single_shot") or {}).get("after")
        seconds = sum((state.summary.get("seconds") or {}).values())
        accuracy = "" if after is None else f"{100 * after:.1f} % single-shot, "
        return text.append(f"finished, {accuracy}{seconds:.0f} s of work")
    if state.status in {"FAILED", "KILLED"}:
        return text.append(f"{state.status.lower()}: {state.error or 'stopped'}", style="red")
    return text.append("started" if state.status == "RUNNING" else state.status.lower())


def wait_for(sweep: SweepDirectory, cells: Sequence[CellRecord], progress: SweepProgress | None = None) -> None:
    """Wait until no run is active. Prints the process of each run, and each run that ends."""
    for cell in cells:
        process = sweep.run_directory(cell).read_record().process
        print(f"waiting for run {cell.number} ({cell.name}), which {process} works on")
    with Watch(sweep, cells, progress=progress):
        while any(sweep.state(cell).status == "RUNNING" for cell in cells):
            time.sleep(_INTERVAL_S)
