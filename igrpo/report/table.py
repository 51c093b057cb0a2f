"""Table of plain text, independent of Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Text of a cell without a number.
NONE = "–"

#: Rows of cells.
Rows = tuple[tuple[str, ...], ...]

#: (heading, rows) pairs.
Groups = tuple[tuple[str, Rows], ...]


def ungrouped(rows: Iterable[tuple[str, ...]]) -> Groups:
    """Return all rows as one group without a heading."""
    return (("", tuple(rows)),)


@dataclass(frozen=True, slots=True)
class Table:
    """Table of plain text. Nothing in it is escaped.

    Attributes:
        key: name of the table in links.
        title: title of the table.
        head: title of every column.
        groups: rows under each heading (empty for a table without headings); a row has as many cells as ``head``.
        note: explanation for the reader; may be empty.
        words: number of leading columns that contain words (left-aligned); the others contain numbers.
    """

    key: str
    title: str
    head: tuple[str, ...]
    groups: Groups
    note: str = ""
    words: int = 1

    @property
    def rows(self) -> Rows:
        """All rows, without the headings."""
        return tuple(row for _, rows in self.groups for row in rows)
