"""Progress of a sweep as one line: the number of runs in each state, and the time left."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime

from rich.text import Text

from igrpo.runs.sweep_directory import CellState, SweepDirectory, find_record
from igrpo.sweeps.plan import duration
from igrpo.sweeps.time_left import Elapsed, Expected, time_left

_NOTHING_EXPECTED = Expected({}, {})


def states(sweep: SweepDirectory) -> dict[str, CellState]:
    """Return the status of each run of a sweep, by the name of its folder.

    Raises:
        ValueError, OSError: a file is missing or broken.
    """
    return {cell.folder: sweep.state(cell) for cell in sweep.read().cells}


class SweepProgress:
    """Counts the runs of a sweep by their state, and estimates the time left.

    Args:
        sweep: the sweep; only its files are read, so the runs may be in any process.
        expected: predictions of how long the runs take.
        parallel: the planned number of runs at a time.
        total: number of runs (None: those of sweep.json; a search knows more than it has begun).
    """

    def __init__(
        self, sweep: SweepDirectory, expected: Expected | None = None, parallel: int = 1, total: int | None = None
    ) -> None:
        self.total = total
        self._sweep, self._expected, self._parallel = sweep, expected or _NOTHING_EXPECTED, parallel
        self._begun = datetime.now(UTC).replace(microsecond=0)
        self._counts = Counter[str]()
        self._known = 0
        self._left: tuple[float, float] | None = None

    def update(self) -> None:
        """Read the states of all runs."""
        cells, found = self._sweep.read().cells, states(self._sweep)  # a search may add to the latter in between
        statuses = {cell.number: found[cell.folder].status for cell in cells}
        counts, elapsed, ended = Counter[str](statuses.values()), dict[int, Elapsed](), set[int]()
        for cell in cells:
            status = statuses[cell.number]
            if status not in {"WAITING", "RUNNING"}:
                ended.add(cell.number)
            record = find_record(self._sweep.run_directory(cell))
            if record is None or (created := datetime.fromisoformat(record.created)) < self._begun:
                continue  # it ran before, for an unknown part of its time
            if status == "RUNNING":
                elapsed[cell.number] = Elapsed((datetime.now(UTC) - created).total_seconds(), is_finished=False)
            elif status == "FINISHED" and record.ended is not None:
                took = datetime.fromisoformat(record.ended) - created
                elapsed[cell.number] = Elapsed(took.total_seconds(), is_finished=True)
        self._counts, self._known = counts, max(self.total or 0, len(cells))
        left = [number for number in range(self._known) if number not in ended]
        seconds = time_left(self._expected, left, elapsed, max(self._parallel, counts["RUNNING"]))
        self._left = None if seconds is None else (seconds, time.monotonic())

    def line(self) -> Text:
        """Return the line for the last ``update``, with a time that runs down."""
        counts, known = self._counts, self._known
        failed, done = counts["FAILED"] + counts["KILLED"], counts["FINISHED"]
        text = Text.assemble(("sweep: ", "bold"), f"{done} of {known} done", no_wrap=True, overflow="ellipsis")
        if counts["RUNNING"]:
            text.append(f", {counts['RUNNING']} running")
        if failed:
            text.append(f", {failed} failed", style="red")
        if waiting := known - done - failed - counts["RUNNING"]:
            text.append(f", {waiting} waiting")
        if self._left is not None and done + failed < known:
            seconds, then = self._left
            text.append(f", about {duration(max(seconds - (time.monotonic() - then), 0.0))} left", style="cyan")
        return text
