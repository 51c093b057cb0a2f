"""A table of text, before it is Markdown, LaTeX or HTML."""

from __future__ import annotations

from dataclasses import dataclass

#: What a cell says where there is no number.
NONE = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of plain text: nothing in it is escaped.

    Attributes:
        key: its name in links.
        title: what it shows.
        head: a title for every column.
        rows: as many cells each as ``head`` has.
        note: how to read it; may be empty.
        words: the number of leading columns that hold words (left-aligned); the others hold numbers.
        headings: (heading, how many rows stand under it), in order; empty for a table that is one group.
    """

    key: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    words: int = 1
    headings: tuple[tuple[str, int], ...] = ()

    def groups(self) -> list[tuple[str, tuple[tuple[str, ...], ...]]]:
        """The rows under their headings, in order; one group with an empty heading where there are none."""
        found, start = [], 0
        for heading, size in self.headings or (("", len(self.rows)),):
            found.append((heading, self.rows[start : start + size]))
            start += size
        return found
