"""Console messages about runs in other processes or on other machines when they start and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.text import Text

from igrpo.runs.console import get_console
from igrpo.runs.sweep_directory import CellRecord, CellState, SweepDirectory

_INTERVAL_S = 1.0


class Watch:
    """Context manager that prints each change of a run's status, from a thread that reads the runs' files.

    It only reads files, so it works with every launcher whose runs share the file system.
    """

    def __init__(self, sweep: SweepDirectory, cells: Sequence[CellRecord], console: Console | None = None) -> None:
        self._sweep, self._cells = sweep, cells
        self._console = console if console is not None else get_console()
        self._seen = {cell.number: sweep.state(cell).status for cell in self._cells}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sweep-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            closing = self._closing.wait(_INTERVAL_S)
            self.look()
            if closing:
                return

    def look(self) -> None:
        """Print the changes since the last call."""
        for cell in self._cells:
            state = self._sweep.state(cell)
            if state.status != self._seen.get(cell.number, "WAITING"):
                self._console.print(line(cell, state), soft_wrap=True)
            self._seen[cell.number] = state.status


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


def wait_for(sweep: SweepDirectory, cells: Sequence[CellRecord]) -> None:
    """Wait until no run is active. Prints the process of each run, and each run that ends."""
    for cell in cells:
        process = sweep.run_directory(cell).read_record().process
        print(f"waiting for run {cell.number} ({cell.name}), which {process} works on")
    with Watch(sweep, cells):
        while any(sweep.state(cell).status == "RUNNING" for cell in cells):
            time.sleep(_INTERVAL_S)
