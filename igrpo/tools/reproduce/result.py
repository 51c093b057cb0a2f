"""A table's measured rows, and the files that it is kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from igrpo.tools.reproduce.average import Number
from igrpo.tools.reproduce.printed import PrintedRow
from igrpo.tools.reproduce.tables import Kind

#: Schema version of table.json that this code writes.
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Spending:
    """What the runs of a row spent, as means over seeds, and what they ran on.

    ``samples`` were sampled in training, ``trained_tokens`` went through its updates. Of what differs between the
    runs, each value is listed.
    """

    samples: float
    trained_tokens: float
    hardware: tuple[str, ...]
    commits: tuple[str, ...]
    config_hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """Row as it was measured.

    Attributes:
        grid: name of the sweep.
        model, method: labels, as the paper has them.
        numbers: by column (None: not measured).
        seeds: seeds that the numbers are means of.
        spending: None before a run is finished; the model before training spent nothing.
        missing: why runs of the row are not in its numbers.
        note: what the reader has to know about it.
    """

    grid: str
    model: str
    method: str
    numbers: Mapping[str, Number | None]
    seeds: tuple[int, ...]
    spending: Spending | None
    missing: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableResult:
    """Measured rows with the printed numbers beside them.

    Attributes:
        name: value of ``table=``.
        kind: how the numbers are measured; accuracies are shares (0 to 1), printed ones are in percent.
        comparable: False if the runs are on another model and data than the paper's.
        columns: titles of the measured columns, and ``printed_columns`` those of the printed ones.
        notes, footnotes: remarks on the measured and on the printed numbers.
        command: the command that makes the table.
    """

    name: str
    title: str
    kind: Kind
    unit: str
    comparable: bool
    columns: tuple[str, ...]
    rows: tuple[MeasuredRow, ...]
    printed_columns: tuple[str, ...]
    printed: tuple[PrintedRow, ...]
    notes: tuple[str, ...]
    footnotes: tuple[str, ...]
    command: str
    version: str

    @property
    def missing(self) -> list[str]:
        """Why runs are not in the numbers."""
        return list(dict.fromkeys(reason for row in self.rows for reason in row.missing))


def as_json(result: TableResult) -> dict[str, Any]:
    """Return the content of table.json: plain values; accuracies are shares (0 to 1), printed ones in percent."""
    return {"schema_version": SCHEMA_VERSION, **asdict(result)}


def distinct(values: Sequence[str | None]) -> tuple[str, ...]:
    """Return the known values, each once."""
    return tuple(dict.fromkeys(value for value in values if value))
