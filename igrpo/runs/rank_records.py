"""Files by which the processes of a run are told what to train, and tell how they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from igrpo.files import write_json_atomic
from igrpo.runs.lifecycle import Ending

#: Folder of these files in the run's directory.
FOLDER = "ranks"


@dataclass(frozen=True, slots=True)
class Launch:
    """Settings that the processes of a run start with, and the command that starts them."""

    config: Mapping[str, Any]
    resume: bool
    command: Sequence[str] = ()

    def write(self, run_dir: Path) -> None:
        """Write the settings to the run's directory."""
        (run_dir / FOLDER).mkdir(parents=True, exist_ok=True)
        write_json_atomic(run_dir / FOLDER / "launch.json", asdict(self))

    @classmethod
    def read(cls, run_dir: Path) -> Launch:
        """Read what ``write`` wrote."""
        return cls(**json.loads((run_dir / FOLDER / "launch.json").read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class RankRecord:
    """Record of how a process ended, at which Unix time, and the run's summary if it is the main process."""

    ending: Ending
    time: float
    summary: Mapping[str, Any] | None = None

    def write(self, run_dir: Path, rank: int) -> None:
        """Write the record to the run's directory."""
        write_json_atomic(rank_file(run_dir, rank, ".json"), asdict(self))

    @classmethod
    def read(cls, path: Path) -> RankRecord:
        """Read what ``write`` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(Ending(**values["ending"]), values["time"], values["summary"])


def rank_file(run_dir: Path, rank: int, suffix: str) -> Path:
    """Return the path of a process's file."""
    return run_dir / FOLDER / f"rank-{rank}{suffix}"


def read_records(run_dir: Path) -> dict[int, RankRecord]:
    """Return the records of the processes that have ended, by rank."""
    paths = (run_dir / FOLDER).glob("rank-*.json")
    return {int(path.stem.removeprefix("rank-")): RankRecord.read(path) for path in paths}
