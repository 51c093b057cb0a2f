"""Loading of runs from disk: search below given folders, and reading of all files of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from igrpo.report.bundles import resolve_sources
from igrpo.report.run_files import (
    Reading,
    Verdicts,
    one_line,
    read_counters,
    read_settings,
    verdicts_before_and_after,
)
from igrpo.runs.fingerprints import Fingerprints, read_fingerprints
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.run_directory import RunDirectory, RunRecord
from igrpo.runs.summary import Summary, read_summary
from igrpo.runs.sweep_directory import SweepDirectory

#: Maximum depth of the search below a given folder: project/multirun/DATE/TIME/CELL.
_MAX_DEPTH = 5

#: Folders that are not searched: they hold MLflow's copies of config.yaml, which are not runs.
_NOT_RUNS = frozenset({"mlflow-artifacts", "mlruns"})


class MlflowPlace(NamedTuple):
    """A run in MLflow: the address of its store, and the ids of its experiment and of itself."""

    uri: str
    experiment_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """Loaded run. ``problem`` is the reason why its numbers cannot be used; any other field may then be empty.

    Attributes:
        name: name of the folder, preceded by parent folders as far as needed to make it unique among the found runs.
        path: folder of the run; None for a run that is known only from MLflow.
        config: plain values of config.yaml.
        ended: time of its end, or of its start if it has not ended (ISO 8601, UTC).
        metrics: lines of metrics.jsonl; each has a ``step``.
        before, after: verdicts on the test split before and after training.
        fingerprints: fingerprints of its questions, prompts, reward and model; None for a run of an older igrpo.
        sweep: sweep that the run belongs to, as a directory or an MLflow run; None if there is none.
        mlflow: its run in MLflow; None if it was not logged.
    """

    name: str
    path: Path | None
    config: Mapping[str, Any]
    status: str
    ended: str
    record: RunRecord | None
    summary: Summary | None
    metrics: Sequence[Mapping[str, Any]]
    before: Verdicts | None
    after: Verdicts | None
    problem: str | None
    fingerprints: Fingerprints | None = None
    sweep: str | None = None
    mlflow: MlflowPlace | None = None

    @property
    def seed(self) -> int | None:
        """Seed of the run; None if its settings cannot be read."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def steps(self) -> int:
        """Last step that was logged."""
        return max((line["step"] for line in self.metrics), default=0)


def find_runs(paths: Iterable[Path | str]) -> list[LoadedRun]:
    """Load every run in the given folders and bundles, each once. A folder may be a run or sweep, or contain several.

    A bundle is a file that `igrpo publish` has written; it is unpacked into the cache. A run is a folder that contains
    run.json or config.yaml. A run that cannot be used is returned with its ``problem``.

    Raises:
        ValueError: there is no such path, it contains no run, or a bundle is refused; the message names it.
    """
    found: dict[Path, str] = {}
    for given in resolve_sources(map(Path, paths)):
        if not given.is_dir():
            raise ValueError(
                f"{given}: there is no such folder or bundle; give a run directory, a sweep directory, a folder of "
                "several, or a bundle of `igrpo publish`"
            )
        folders = list(_run_folders(given))
        if not folders:
            raise ValueError(
                f"{given}: no run in it; looked for run.json or config.yaml there and up to {_MAX_DEPTH} folders below"
            )
        for folder in folders:
            found.setdefault(folder.resolve(), folder.resolve().name)
    names = _distinct_names(list(found))
    return [load_run(path, names[path]) for path in found]


def load_run(path: Path, name: str | None = None) -> LoadedRun:
    """Load the run in a folder. Invalid or missing files raise no error; see ``LoadedRun.problem``."""
    directory, reading = RunDirectory(path), Reading()
    config = reading.attempt(lambda: read_settings(directory.config)) or {}
    record = None
    if directory.record_file.exists():
        record = reading.attempt(directory.read_record)
    else:
        reading.problems.append(f"{path} has no run.json: the run was never started")
    if record is not None and record.status != "FINISHED":
        reading.problems.append(_unfinished(record))
    lines = reading.attempt(lambda: list(read_metrics(directory.metrics))) or []
    metrics = reading.attempt(lambda: read_counters(lines, str(directory.metrics))) or []
    summary = reading.attempt(lambda: read_summary(directory.summary))
    before, after = verdicts_before_and_after(directory.evaluations, summary, reading)
    fingerprints = reading.attempt(lambda: read_fingerprints(directory.fingerprints))
    sweep = SweepDirectory(path.absolute().parent)
    return LoadedRun(
        name=name or path.name,
        path=path,
        config=config,
        status="UNKNOWN" if record is None else record.status,
        ended="" if record is None else record.ended or record.created,
        record=record,
        summary=summary,
        metrics=metrics,
        before=before,
        after=after,
        problem=reading.problems[0] if reading.problems else None,
        fingerprints=fingerprints,
        sweep=str(sweep) if sweep.exists else None,
        mlflow=None if record is None else _place(record),
    )


def _place(record: RunRecord) -> MlflowPlace | None:
    uri, experiment, run = record.mlflow_tracking_uri, record.mlflow_experiment_id, record.mlflow_run_id
    return None if uri is None or experiment is None or run is None else MlflowPlace(uri, experiment, run)


def _unfinished(record: RunRecord) -> str:
    ended = f": {one_line(record.error)}" if record.error else ""
    if record.status == "RUNNING":
        return "its process died; resume it" if record.process.is_dead() else "still running"
    return ("it failed" if record.status == "FAILED" else "it was stopped") + f" before its last step{ended}"


def _run_folders(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        if "run.json" in files or "config.yaml" in files:
            yield Path(folder)
            folders.clear()
        elif len(Path(folder).relative_to(root).parts) >= _MAX_DEPTH:
            folders.clear()
        folders[:] = sorted((f for f in folders if f[0] != "." and f not in _NOT_RUNS), key=_natural)


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key that puts 2_x before 10_x."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text)]


def _distinct_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Name each path by the shortest unique part at its end."""
    names = {path: path.name for path in paths}
    for depth in range(2, 1 + max((len(path.parts) for path in paths), default=0)):
        taken = list(names.values())
        for path in paths:
            if taken.count(names[path]) > 1:
                names[path] = "/".join(path.parts[-depth:])
    return names
