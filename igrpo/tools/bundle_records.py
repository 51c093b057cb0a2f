"""Copies of the records of runs and sweeps for publication: without secrets, and without names of the machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from igrpo.files import write_json_atomic
from igrpo.runs.command import API
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import SweepDirectory, SweepRecord
from igrpo.tools.redaction import Redactor

#: Fields of run.json and sweep.json that are meaningless on another machine.
_OF_RUN = {"host": "", "pid": 0, "pid_started": 0.0, "pid_namespace": ""}
_OF_MLFLOW = {"mlflow_run_id": None, "mlflow_experiment_id": None}
_TRACKING = "tracking.uri="

#: Files of exported weights, and their fields that may hold a path.
_NAMES = ("_name_or_path", "name_or_path", "base_model_name_or_path")
_NAMED_IN = ("config.json", "tokenizer_config.json", "adapter_config.json")


def write_config_copy(source: Path, folder: Path, redactor: Redactor, *, keep_machine: bool) -> None:
    """Write the settings of a run. The tracking address is null, unless the machine is kept."""
    values = yaml.safe_load(source.read_text(encoding="utf-8"))
    redactor.learn(values)
    values = redactor.values(values)
    if not keep_machine and isinstance(values.get("tracking"), dict):
        values["tracking"]["uri"] = None
    RunDirectory(folder).save_config(values)


def write_run_copy(source: RunDirectory, folder: Path, redactor: Redactor, *, keep_machine: bool) -> None:
    """Write the run.json of a run. One that has not ended counts as killed, since no reader can see its process."""
    record = source.read_record()
    raw = record.model_dump(mode="json")
    raw |= {"command": _command(record.command, redactor), "error": _error(record.error, redactor)}
    raw["given"] = {}  # only a resume needs it
    if record.status == "RUNNING":
        raw |= {"status": "KILLED", "error": "published before its last step"}
    if not keep_machine:
        raw |= _OF_RUN | _OF_MLFLOW | {"mlflow_tracking_uri": None}
    elif record.mlflow_tracking_uri is not None:
        raw["mlflow_tracking_uri"] = redactor.text(record.mlflow_tracking_uri)
    write_json_atomic(RunDirectory(folder).record_file, raw)


def write_sweep_copy(record: SweepRecord, folder: Path, redactor: Redactor, *, keep_machine: bool) -> None:
    """Write the sweep.json of a sweep."""
    raw = redactor.values(record.model_dump(mode="json"))
    raw["command"] = _command(record.command, redactor)
    if not keep_machine:
        raw |= _OF_MLFLOW | {"working_directory": ".", "tracking_uri": None}
        raw["overrides"] = _without_tracking(raw["overrides"])
        for cell in raw["cells"]:
            cell["overrides"] = _without_tracking(cell["overrides"])
    write_json_atomic(SweepDirectory(folder).record_file, raw)


def write_json_copy(source: Path, target: Path, redactor: Redactor) -> None:
    """Write a copy of a JSON file."""
    write_json_atomic(target, redactor.values(json.loads(source.read_text(encoding="utf-8"))))


def redact_weights(folder: Path, redactor: Redactor) -> None:
    """Remove local paths, and what the reward's settings may hold, from the JSON files of exported weights."""
    for path in folder.glob("*.json"):
        if path.name not in (*_NAMED_IN, "igrpo.json"):
            continue
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        changed = {name: redactor.text(raw[name]) for name in _NAMES if isinstance(raw.get(name), str)}
        if path.name == "igrpo.json":
            changed["reward"] = redactor.values(raw["reward"], "reward")
        if any(raw[name] != value for name, value in changed.items()):
            write_json_atomic(path, raw | changed)


def _command(command: Sequence[str], redactor: Redactor) -> list[str]:
    """Return the command; the program of a command line, which may be a path, becomes ``igrpo``."""
    program = API if API in command[:1] else "igrpo"
    return [program, *_without_tracking([redactor.text(part, names=True) for part in command[1:]])] if command else []


def _without_tracking(overrides: Sequence[str]) -> list[str]:
    return [text for text in overrides if not text.lstrip("+").startswith(_TRACKING)]


def _error(error: str | None, redactor: Redactor) -> str | None:
    return None if error is None else redactor.text(error, names=True)
