"""Small real sweeps, and what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from igrpo.runs.sweep_directory import SweepDirectory
from tests.end_to_end.runs import SMALL

#: As short as a run can be that evaluates and saves.
QUICK = (*SMALL, "trainer.steps=2", "evaluation.every=2", "--no-measure")

#: Two runs: the first stops when it finds that no question is as short as that.
BREAKS = "prompt.max_question_tokens=2,24"


def sweep(folder: Path, *overrides: str) -> list[str]:
    """Arguments of a small sweep in ``folder/sweep``."""
    return ["train", "--multirun", f"hydra.sweep.dir={folder / 'sweep'}", *QUICK, *overrides]


def resume(folder: Path, *overrides: str) -> list[str]:
    """Arguments that take it up again."""
    return ["train", f"resume={folder / 'sweep'}", *overrides]


def began(folder: Path) -> bool:
    """Whether the sweep has its plan."""
    return SweepDirectory(folder / "sweep").exists


def states(folder: Path) -> list[str]:
    """How each run stands."""
    directory = SweepDirectory(folder / "sweep")
    return [directory.state(cell).status for cell in directory.read().cells]


def folders(folder: Path) -> list[Path]:
    """Each run's directory."""
    directory = SweepDirectory(folder / "sweep")
    return [directory.run_directory(cell).path for cell in directory.read().cells]


def pid(run_dir: Path) -> int:
    """The process that works, or worked last, on a run."""
    return int(json.loads((run_dir / "run.json").read_text())["pid"])


def written(*run_dirs: Path) -> dict[str, int]:
    """When each file of the runs was last written."""
    files = [path for cell in run_dirs for path in cell.rglob("*") if path.is_file() and path.name[0] != "."]
    return {str(path): path.stat().st_mtime_ns for path in files}


def in_mlflow(folder: Path) -> tuple[Any, list[Any]]:
    """The sweep's run, and those beneath it by name."""
    record = SweepDirectory(folder / "sweep").read()
    assert record.tracking_uri is not None
    assert record.mlflow_run_id is not None
    client = MlflowClient(record.tracking_uri)
    query = f"tags.mlflow.parentRunId = '{record.mlflow_run_id}'"
    found = client.search_runs([str(record.mlflow_experiment_id)], query)
    return client.get_run(record.mlflow_run_id), sorted(found, key=lambda run: str(run.info.run_name))


def artifacts(folder: Path, below: str) -> set[str]:
    """What the sweep's run keeps below a folder of its artifacts."""
    record = SweepDirectory(folder / "sweep").read()
    entries = MlflowClient(str(record.tracking_uri)).list_artifacts(str(record.mlflow_run_id), below)
    return {entry.path for entry in entries}
