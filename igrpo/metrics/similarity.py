"""Similarity of two completions: the normalised Levenshtein similarity of their tokens."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from igrpo.types import Completion

#: Number of tokens on which completions are compared. It limits the cost: about 10 ms for two of this length.
MAX_COMPARED_TOKENS = 4096


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the exact Levenshtein distance (insertions, deletions and substitutions of cost 1).

    The algorithm is bit-parallel in Python's integers. One column of the dynamic program is a bit vector of
    differences, so the cost is min(m, n) steps on max(m, n) bits (Myers 1999, in the form of Hyyrö 2003, 'A bit-vector
    algorithm for computing Levenshtein and Damerau edit distances').
    """
    rows, columns = (first, second) if len(first) >= len(second) else (second, first)
    if not columns:
        return len(rows)
    full, last = (1 << len(rows)) - 1, 1 << (len(rows) - 1)
    matches: dict[Hashable, int] = {}
    for i, token in enumerate(rows):
        matches[token] = matches.get(token, 0) | (1 << i)
    up, down, distance = full, 0, len(rows)  # vertical differences of +1 and of -1; the cell in the last row
    for token in columns:
        match = matches.get(token, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        grows, shrinks = down | (full & ~(diagonal | up)), diagonal & up  # horizontal differences
        distance += bool(grows & last) - bool(shrinks & last)
        grows, shrinks = (grows << 1) | 1, shrinks << 1
        up, down = full & (shrinks | ~(diagonal | grows)), full & grows & diagonal
    return distance


def content_tokens(completion: Completion) -> tuple[int, ...]:
    """Return the tokens without the stop token, which would make any two completions look more similar."""
    return completion.token_ids[:-1] if completion.finish_reason == "stop" else completion.token_ids


def text_similarity(first: Completion, second: Completion, max_tokens: int = MAX_COMPARED_TOKENS) -> float:
    """Return 1 - distance / longer length, in [0, 1], on the first ``max_tokens`` tokens; 1 for two empty ones."""
    a, b = content_tokens(first)[:max_tokens], content_tokens(second)[:max_tokens]
    if a == b:
        return 1.0
    return 1.0 - edit_distance(a, b) / max(len(a), len(b))
