"""Directory of a sweep, ``sweep.json`` with the list of its runs, and the status of each run.

A run of a sweep (a cell) is an ordinary run directory. Its config.yaml is written before the first run starts, so that
later changes of the YAML files do not affect the checked settings.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from igrpo.config import RunConfig, config_values
from igrpo.disk import disk_errors
from igrpo.files import write_json_atomic
from igrpo.runs.command import current_command
from igrpo.runs.naming import folder_name, short_name
from igrpo.runs.run_directory import RunDirectory, RunRecord, read_versioned
from igrpo.runs.run_lock import RunDirectoryLockedError, run_lock

SWEEP_FILE = "sweep.json"

#: Schema version of sweep.json that this code writes, and the newest that it reads.
SCHEMA_VERSION = 2

#: A run of another host that writes nothing for this many seconds, and whose lock is free, counts as killed.
_SILENCE_S = 900.0

CellStatus = Literal["WAITING", "RUNNING", "FINISHED", "FAILED", "KILLED"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CellRecord(_Record):
    """Record of a run: the values of the settings that the sweep varies, and the overrides that compose the run."""

    number: int
    folder: str
    swept: dict[str, str]
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """Short name made from the swept values, such as 'igrpo s0'."""
        return short_name(self.swept)


class SweepRecord(_Record):
    """Contents of sweep.json.

    ``overrides`` are those of the command line. A search adds ``cells`` as it picks them. ``question`` is what the
    sweep asks, as its YAML file says (empty: it has none, or an older igrpo wrote the record).
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    question: str = ""
    overrides: tuple[str, ...]
    cells: tuple[CellRecord, ...]
    swept_keys: tuple[str, ...]
    is_search: bool
    working_directory: str
    command: tuple[str, ...]
    created: str
    tracking_uri: str | None
    experiment: str
    mlflow_experiment_id: str | None = None
    mlflow_run_id: str | None = None

    def title(self, path: Path) -> str:
        """Name of the sweep with the name of its folder ``path``, which tells it from other sweeps of that name."""
        return f"{self.name} {path.name}"


@dataclass(frozen=True, slots=True)
class CellState:
    """Status of a run. ``summary`` is empty unless the run is finished."""

    status: CellStatus
    error: str | None
    summary: Mapping[str, Any]


class SweepDirectory:
    """Records of a sweep's folder. Creating the object touches no file."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.record_file = self.path / SWEEP_FILE

    def __str__(self) -> str:
        return str(self.path)

    @property
    def exists(self) -> bool:
        """True if there is a sweep in this folder."""
        return self.record_file.is_file()

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Lock the sweep for this process; see ``run_lock`` for takeover and errors."""
        with run_lock(self.path):
            yield

    def begin(
        self,
        name: str,
        overrides: Sequence[str],
        cells: Sequence[CellRecord],
        *,
        swept_keys: Sequence[str],
        is_search: bool,
        tracking_uri: str | None,
        experiment: str,
        question: str = "",
    ) -> SweepRecord:
        """Create sweep.json with the sweep's runs."""
        return self.write(
            SweepRecord(
                name=name,
                question=question,
                overrides=tuple(overrides),
                cells=tuple(cells),
                swept_keys=tuple(swept_keys),
                is_search=is_search,
                working_directory=str(Path.cwd()),
                command=current_command(),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                tracking_uri=tracking_uri,
                experiment=experiment,
            )
        )

    def attach_mlflow(self, experiment_id: str, run_id: str) -> SweepRecord:
        """Record the MLflow run that is the parent of the sweep's runs. Safe beside ``add_cell``."""
        return self._update(lambda _: {"mlflow_experiment_id": experiment_id, "mlflow_run_id": run_id})

    def add_cell(self, cell: CellRecord) -> SweepRecord:
        """Add a run that a search has picked. Parallel processes may call this at the same time."""
        return self._update(lambda record: {"cells": (*record.cells, cell)})

    def _update(self, change: Callable[[SweepRecord], dict[str, Any]]) -> SweepRecord:
        with FileLock(self.path / ".sweep.lock", timeout=60):
            record = self.read()
            return self.write(record.model_copy(update=change(record)))

    def write(self, record: SweepRecord) -> SweepRecord:
        """Write sweep.json atomically."""
        with disk_errors(self.record_file):
            write_json_atomic(self.record_file, record.model_dump(mode="json"))
        return record

    def read(self) -> SweepRecord:
        """Read sweep.json.

        Raises:
            ValueError: it is missing or broken, or a newer igrpo wrote it.
        """
        missing = f"{self.path} is not a sweep directory: it has no {SWEEP_FILE}"
        return SweepRecord.model_validate(read_versioned(self.record_file, SCHEMA_VERSION, missing=missing))

    def run_directory(self, cell: CellRecord) -> RunDirectory:
        """Return the run directory of a cell."""
        return RunDirectory(self.path / cell.folder)

    def write_config(self, cell: CellRecord, config: RunConfig) -> None:
        """Write a cell's settings to its folder."""
        directory = self.run_directory(cell)
        with disk_errors(directory.path):
            directory.path.mkdir(parents=True, exist_ok=True)
        directory.save_config(config_values(config))

    def state(self, cell: CellRecord) -> CellState:
        """Return the current status of a cell."""
        return run_state(self.run_directory(cell))


def plan_cell(number: int, swept: Mapping[str, str], overrides: tuple[str, ...]) -> CellRecord:
    """Return the record of a planned run, with the name of its folder."""
    return CellRecord(number=number, folder=folder_name(number, swept), swept=dict(swept), overrides=overrides)


def run_state(directory: RunDirectory) -> CellState:
    """Return the status of a run. A run whose process is dead counts as killed, even if run.json says RUNNING."""
    record = find_record(directory)
    if record is None:
        return CellState("WAITING", None, {})
    if record.status == "FINISHED":
        return CellState("FINISHED", None, _summary(directory))
    if record.status == "RUNNING" and record.process.is_dead():
        return CellState("KILLED", "its process died", {})
    if record.status == "RUNNING" and _is_silent(directory, record):
        return CellState("KILLED", f"no sign of life from {record.process} for {_SILENCE_S / 60:.0f} minutes", {})
    return CellState(record.status, record.error, {})


def _is_silent(directory: RunDirectory, record: RunRecord) -> bool:
    """True if a run of another host, which cannot be checked from here, is silent for long and holds no lock."""
    if record.process.is_here() or time.time() - directory.last_sign_of_life() < _SILENCE_S:
        return False
    try:
        with run_lock(directory.path):
            return True
    except RunDirectoryLockedError:
        return False


def _summary(directory: RunDirectory) -> dict[str, Any]:
    if not directory.summary.exists():
        return {}
    summary: dict[str, Any] = json.loads(directory.summary.read_text(encoding="utf-8"))
    return summary


def find_record(directory: RunDirectory) -> RunRecord | None:
    """Read the run.json of a run; None if there is none, or if it is broken: then the run has to start again."""
    try:
        return directory.read_record()
    except ValueError:
        return None


def sweep_of(run_dir: Path) -> tuple[SweepRecord, CellRecord | None] | None:
    """Return the sweep that a run directory belongs to, and the run's record in it; None if there is no sweep.

    The run's record is None if a search has not written it yet.
    """
    sweep = SweepDirectory(run_dir.absolute().parent)
    if not sweep.exists:
        return None
    record = sweep.read()
    return record, next((cell for cell in record.cells if cell.folder == run_dir.name), None)
