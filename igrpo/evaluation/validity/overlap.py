"""Overlap of two texts: ROUGE-L (Lin 2004, 'ROUGE: A Package for Automatic Evaluation of Summaries')."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

_WORD = re.compile(r"[^\W_]+")


def rouge_l(reference: str, text: str) -> float:
    """Return the F score of the longest common subsequence of the words of both texts, in [0, 1].

    Words are runs of letters and digits, without case. Two texts without words have 0.
    """
    a, b = _WORD.findall(reference.lower()), _WORD.findall(text.lower())
    return 2 * common_length(a, b) / (len(a) + len(b)) if a or b else 0.0


def common_length(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence.

    The algorithm is bit-parallel in Python's integers: one column of the dynamic program is a bit vector, in which a 0
    is a step up (Hyyrö 2004, 'Bit-parallel LCS-length computation revisited').
    """
    full = (1 << len(first)) - 1
    places: dict[Hashable, int] = {}
    for i, item in enumerate(first):
        places[item] = places.get(item, 0) | (1 << i)
    column = full
    for item in second:
        matches = column & places.get(item, 0)
        column = ((column + matches) | (column - matches)) & full
    return len(first) - column.bit_count()
