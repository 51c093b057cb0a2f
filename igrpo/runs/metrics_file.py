"""metrics.jsonl: one strict JSON object a line, ``{"step": .., "time": .., NAME: VALUE, ..}``.

It is the complete record of a run's metrics; MLflow is a copy of it. A value that is no finite number is written as
"nan", "inf" or "-inf" and read back as a float.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from igrpo.disk import append_whole, disk_errors
from igrpo.runs.strict_json import compact_json, decode_number, encode_number

#: What MLflow accepts, less the colon (an error on Windows) and paths that it would normalise.
_NAME = re.compile(r"[A-Za-z0-9_.\- ]+(/[A-Za-z0-9_.\- ]+)*")


def check_metric_name(name: str) -> None:
    """Refuse a name that MLflow would refuse or change.

    Raises:
        ValueError: naming it and saying what is allowed.
    """
    parts = name.split("/")
    if not _NAME.fullmatch(name) or name in {"step", "time"} or "." in parts or ".." in parts or len(name) > 250:
        raise ValueError(
            f"metric name {name!r} is not allowed: use letters, digits, '_', '-', '.', spaces, and single slashes "
            "between sections (not avg@16 but avg_at_16), at most 250 characters; 'step' and 'time' are taken"
        )


class MetricsFile:
    """Appends steps to metrics.jsonl. Opening it drops a last line that a kill left torn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._file.truncate(whole)
        self.last_step: int | None = max((line["step"] for line in read_metrics(path)), default=None)

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one line and hand it to the system, so that a kill right after loses nothing.

        Raises:
            ValueError: a name that is not allowed, or a step before the last one.
            DiskFullError: no room; the file is what it was before.
        """
        if self.last_step is not None and step < self.last_step:
            raise ValueError(f"metrics of step {step} after those of step {self.last_step}: log by the rollout step")
        line: dict[str, Any] = {"step": step, "time": round(time.time(), 3)}
        for name, value in metrics.items():
            check_metric_name(name)
            line[name] = encode_number(value if isinstance(value, int) else float(value))
        append_whole(self._file, compact_json(line).encode() + b"\n", self.path)
        self.last_step = step

    def truncate_after(self, step: int) -> None:
        """Drop the lines after ``step``: a resumed run computes them again, from the checkpoint's weights.

        Steps never decrease, so this is one cut of the file's end, which happens or does not.
        """
        size = 0
        self.last_step = None
        with self.path.open("rb") as lines:
            for line in lines:
                found = json.loads(line)["step"]
                if found > step:
                    break
                size += len(line)
                self.last_step = found
        self._file.truncate(size)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._file.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a metrics.jsonl in order, a torn last one left out.

    Raises:
        ValueError: a line in the middle is no JSON object with a step.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield parse_line(line, f"{path}, line {number}")


def parse_line(line: bytes, where: str) -> dict[str, Any]:
    """One line as a dictionary, with its non-finite values as floats.

    Raises:
        ValueError: naming ``where``.
    """
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where} is no JSON: {error}") from None
    step = values.get("step") if isinstance(values, dict) else None
    if step is None or isinstance(step, bool) or not isinstance(step, int):
        raise ValueError(f"{where} is no JSON object with a whole number as its step")
    return {name: decode_number(value) for name, value in values.items()}
