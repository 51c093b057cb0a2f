"""Launch of a sweep's runs, and the overrides by which a launcher finds them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from omegaconf import DictConfig

from igrpo.config import read_config
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.launching import is_serial
from igrpo.runs.resume import finished_summary
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory
from igrpo.sweeps.cell import hydra_job
from igrpo.sweeps.progress import SweepProgress
from igrpo.sweeps.watch import Watch, wait_for


def run_cells(
    composer: Composer,
    sweep: SweepDirectory,
    cells: Sequence[CellRecord],
    overrides: Sequence[str],
    progress: SweepProgress | None = None,
) -> None:
    """Launch the runs that no process works on, and wait for runs that outlive their launcher or an earlier driver.

    Each run is launched once. If the launcher itself failed (a worker of its pool was killed), the runs that it did not
    complete are launched once more. A run whose settings were refused has no config.yaml, and is not launched.
    """
    attempts, allowed = Counter[int](), 1
    cells = [cell for cell in cells if sweep.run_directory(cell).config.exists()]
    while True:
        repair_stale_runs(None, [sweep.path])
        alive = [cell for cell in cells if sweep.state(cell).status == "RUNNING"]
        left = [
            cell
            for cell in cells
            if cell not in alive and not _is_done(sweep, cell) and _may_try(sweep, cell, attempts[cell.number], allowed)
        ]
        if alive and (not left or attempts):
            wait_for(sweep, alive, progress)
        elif left:
            attempts.update(cell.number for cell in left)
            problems = _launch(composer, sweep, left, overrides, progress)
            for problem in problems:
                print(f"igrpo: {problem}", file=sys.stderr)
            allowed = 2 if problems else allowed
        else:
            return


def _may_try(sweep: SweepDirectory, cell: CellRecord, attempts: int, allowed: int) -> bool:
    return attempts == 0 or (attempts < allowed and sweep.state(cell).status != "FAILED")


def _is_done(sweep: SweepDirectory, cell: CellRecord) -> bool:
    """True if the run is finished under its current settings, since a resumed sweep may have more steps."""
    directory = sweep.run_directory(cell)
    return finished_summary(directory.path, read_config(directory.config)) is not None


def _launch(
    composer: Composer,
    sweep: SweepDirectory,
    cells: Sequence[CellRecord],
    overrides: Sequence[str],
    progress: SweepProgress | None,
) -> list[str]:
    jobs = [[*cell.overrides, f"hydra.sweep.subdir='{cell.folder}'"] for cell in cells]
    is_here = is_serial(composer.launcher(overrides))
    with Watch(sweep, cells, progress=progress, announce=not is_here) as watch:
        if is_here:

            def job(settings: DictConfig) -> None:
                hydra_job(settings)
                watch.look()

            return composer.launch(overrides, jobs, job)
        return composer.launch(overrides, jobs, hydra_job)
