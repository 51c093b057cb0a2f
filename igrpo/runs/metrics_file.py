"""The file metrics.jsonl: one strict JSON object per line, ``{"step": .., "time": .., NAME: VALUE, ..}``.

It is the complete record of a run's metrics; MLflow has a copy. Non-finite values are written as "nan", "inf" or
"-inf" and read back as floats.
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

#: Names that MLflow accepts, without the colon (an error on Windows) and paths that MLflow would normalise.
_NAME = re.compile(r"[A-Za-z0-9_.\- ]+(/[A-Za-z0-9_.\- ]+)*")


def check_metric_name(name: str) -> None:
    """Check that MLflow accepts a metric name unchanged.

    Raises:
        ValueError: it does not; the message gives the name and says what is allowed.
    """
    parts = name.split("/")
    if not _NAME.fullmatch(name) or name in {"step", "time"} or "." in parts or ".." in parts or len(name) > 250:
        raise ValueError(
            f"metric name {name!r} is not allowed: use letters, digits, '_', '-', '.', spaces, and single slashes "
            "between sections (not avg@16 but avg_at_16), at most 250 characters; 'step' and 'time' are taken"
        )


class MetricsFile:
    """Appends steps to metrics.jsonl. Opening it drops an incomplete last line of a killed process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._file.truncate(whole)
        self.last_step: int | None = None
        self._last_time = 0.0
        for line in read_metrics(path):
            self.last_step, self._last_time = line["step"], max(self._last_time, line["time"])

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one line without buffering, so that nothing is lost if the process is killed afterwards.

        Raises:
            ValueError: a name is not allowed, or the step is before the last one.
            DiskFullError: the disk is full; the file is unchanged.
        """
        if self.last_step is not None and step < self.last_step:
            raise ValueError(f"metrics of step {step} after those of step {self.last_step}: log by the rollout step")
        # times never decrease, even if the clock is set back, so that the copy in MLflow can be compared by them
        line: dict[str, Any] = {"step": step, "time": max(round(time.time(), 3), self._last_time)}
        for name, value in metrics.items():
            check_metric_name(name)
            line[name] = encode_number(value if isinstance(value, int) else float(value))
        append_whole(self._file, compact_json(line).encode() + b"\n", self.path)
        self.last_step, self._last_time = step, line["time"]

    def truncate_after(self, step: int) -> None:
        """Drop the lines after ``step``, which a resumed run computes again from the checkpoint's weights.

        Steps never decrease, so the file is truncated once, which is atomic.
        """
        size = 0
        self.last_step = None
        with self.path.open("rb") as lines:
            for line in lines:
                line_step = json.loads(line)["step"]
                if line_step > step:
                    break
                size += len(line)
                self.last_step = line_step
        self._file.truncate(size)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._file.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a metrics.jsonl in order, without an incomplete last line.

    Raises:
        ValueError: a complete line is not a JSON object with a step.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield parse_line(line, f"{path}, line {number}")


def parse_line(line: bytes, where: str) -> dict[str, Any]:
    """Parse one line into a dictionary, with non-finite values as floats.

    Raises:
        ValueError: the line is not a JSON object with a step; the message names ``where``.
    """
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}") from None
    step = values.get("step") if isinstance(values, dict) else None
    if step is None or isinstance(step, bool) or not isinstance(step, int):
        raise ValueError(f"{where} is not a JSON object with an integer step")
    return {name: decode_number(value) for name, value in values.items()}
