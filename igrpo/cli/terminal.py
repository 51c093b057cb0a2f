"""Sanitising of model output for printing to a terminal."""

from __future__ import annotations

import re
import unicodedata

# CSI (colours, cursor), then strings that end with BEL or ST (titles, links, clipboard), then all other escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
#: Marks that change the direction of the following text, which could then be misread.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Remove terminal escape sequences, control characters (except line feed and tab) and direction marks."""
    return "".join(c for c in _ESCAPES.sub("", text) if c in "\n\t" or not _steers(c))


def _steers(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"} or character in _DIRECTION
