"""Numbers that the paper prints for the rows of a table. They are references: never measured, never mixed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from igrpo.tools.doctor.paper import paper_tables
from igrpo.tools.reproduce.tables import PrintedPath, Scale, Table


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """Printed numbers of a row by column, and the marks of the footnotes on it."""

    model: str
    method: str
    numbers: Mapping[str, float]
    marks: tuple[int, ...]


def printed_rows(table: Table, scale: Scale) -> list[PrintedRow]:
    """Return the printed numbers of every row of the table's grids that the paper has."""
    tables = paper_tables()
    found = []
    for grid in scale.grids:
        for row in grid.rows:
            path = table.printed if row.printed is None else row.printed
            names = {"model": grid.label, "method": row.method}
            if not path:
                continue
            numbers = _numbers(_value(tables, path, names), table.printed_columns)
            marks = tuple(
                number
                for number, note in enumerate(table.footnotes, 1)
                if note.rows and all(names.get(key) == value for key, value in note.rows.items())
            )
            found.append(PrintedRow(grid.label, row.method, numbers, marks))
    return found


def footnotes(table: Table) -> list[str]:
    """Return the remarks on the printed numbers, with the known defects in full.

    Raises:
        ValueError: a remark is the beginning of several defects.
    """
    known: list[str] = paper_tables()["known_defects"]
    found = []
    for note in table.footnotes:
        meant = [defect for defect in known if defect.startswith(note.text)]
        if len(meant) > 1:
            raise ValueError(f"the footnote {note.text!r} fits several known defects")
        found.append(_sentence(meant[0] if meant else note.text))
    return found


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _value(tables: Any, path: PrintedPath, names: Mapping[str, str]) -> Any:
    """Return the value at a path of paper_tables.json, in which ``{model}`` and ``{method}`` stand for the names."""
    value = tables
    for step in path:
        if isinstance(step, str):
            value = value[step.format_map(names)]
        else:
            fields = {key: text.format_map(names) for key, text in step.items()}
            (value,) = (entry for entry in value if all(entry[key] == text for key, text in fields.items()))
    return value


def _numbers(value: Any, columns: Mapping[str, str]) -> dict[str, float]:
    entries = value if isinstance(value, dict) else {"value": value}
    return {title: float(entries[key]) for key, title in columns.items() if key in entries}
