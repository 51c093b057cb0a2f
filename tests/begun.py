"""Run and sweep directories that have begun, and have nothing else in them yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory


def begun_run(path: Path) -> RunDirectory:
    """A run directory that says RUNNING, by the test's process."""
    directory = RunDirectory(path)
    directory.create()
    directory.begin(["test"])
    return directory


def begun_sweep(
    path: Path,
    *cells: CellRecord,
    name: str = "sweep",
    overrides: Sequence[str] = (),
    swept_keys: Sequence[str] = ("seed",),
    is_search: bool = False,
    tracking_uri: str | None = None,
) -> SweepDirectory:
    """A sweep directory with these cells planned."""
    path.mkdir(parents=True, exist_ok=True)
    sweep = SweepDirectory(path)
    sweep.begin(
        name,
        list(overrides),
        list(cells),
        swept_keys=list(swept_keys),
        is_search=is_search,
        tracking_uri=tracking_uri,
        experiment="sweeps",
    )
    return sweep
