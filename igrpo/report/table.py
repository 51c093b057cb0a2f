"""Table of plain text, independent of Markdown, LaTeX and HTML."""

from __future__ import annotations

from dataclasses import dataclass

#: Text of a cell without a number.
NONE = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """Table of plain text. Nothing in it is escaped.

    Attributes:
        key: name of the table in links.
        title: title of the table.
        head: title of every column.
        rows: rows with as many cells as ``head``.
        note: explanation for the reader; may be empty.
        words: number of leading columns that contain words (left-aligned); the others contain numbers.
        headings: (heading, number of rows under it) pairs in order; empty for a table without groups.
    """

    key: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    words: int = 1
    headings: tuple[tuple[str, int], ...] = ()

    def groups(self) -> list[tuple[str, tuple[tuple[str, ...], ...]]]:
        """Return (heading, rows) pairs in order; one group with an empty heading if there are no headings."""
        found, start = [], 0
        for heading, size in self.headings or (("", len(self.rows)),):
            found.append((heading, self.rows[start : start + size]))
            start += size
        return found
