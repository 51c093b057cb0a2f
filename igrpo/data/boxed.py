r"""What stands in ``\boxed{...}``. Both functions' cost is linear in the length of the text."""

from __future__ import annotations

import re

_BOX = re.compile(r"\\f?boxed\s*\{|\\fbox\s*\{")
_BRACE = re.compile(r"\\[a-zA-Z]+|\\.|[{}]", re.DOTALL)
# What may stand between two boxes of one answer: separators, `and`, `or`, up to two words, `name =`.
_JOINT = re.compile(
    r"(?=.*?(?:,|;|\band\b|\bor\b|^\s*$))(?:\s|\\quad|\\qquad|\\[,;:!() ]|\$|[,;.]|\\text\{\s*(?:and|or|,)\s*\}"
    r"|and\b|or\b|[A-Za-z]\w*\s*=|(?:[A-Za-z]{2,12}\b){1})*",
    re.DOTALL,
)
_MAX_BOXES = 64
_MAX_JOINT = 48


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete ``\boxed`` or ``\fbox``, joined with the boxes that stand right before it."""
    if "box" not in text:
        return None
    starts = [match.span() for match in _BOX.finditer(text)][-_MAX_BOXES:]
    parts: list[str] = []
    first = len(text)
    for start, inside in reversed(starts):
        end = _closing_brace(text, inside)
        if end is None:
            continue
        if parts and end >= first:  # the box before encloses this one
            parts, first = ([text[inside:end]], start) if len(parts) == 1 else (parts, first)
            continue
        if parts and not _joined(text[end + 1 : first]):
            break
        if not parts or text[inside:end] != parts[0]:
            parts.insert(0, text[inside:end])
        first = start
    return ", ".join(parts) if parts else None


def _joined(between: str) -> bool:
    return len(between) <= _MAX_JOINT and _JOINT.fullmatch(between) is not None


def _closing_brace(text: str, inside: int) -> int | None:
    depth = 1
    for token in _BRACE.finditer(text, inside):
        mark = token.group()
        depth += (mark == "{") - (mark == "}")
        if depth == 0:
            return token.start()
    return None
