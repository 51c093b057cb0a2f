"""Packing of rows into one sequence per micro-batch, in which prompts and common beginnings of prompts occur once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

from igrpo.models.prefix_tree import Node, PrefixTree, common_tokens
from igrpo.models.tree_support import tree_problem
from igrpo.settings.trainer import TrainerConfig
from igrpo.training.rows import Row

log = logging.getLogger(__name__)

#: Prompts that begin with fewer equal tokens do not share them, unless they are equal.
_SHARED_TOKENS = 16


def packs_rows(policy: Any, trainer: TrainerConfig) -> bool:
    """Return True if rows are to be packed; log why not if the policy does not support what the settings ask for."""
    problem = tree_problem(policy) if trainer.share_prefixes else None
    if problem is not None:
        log.warning(
            "trainer.share_prefixes: %s does not support it (%s); prompts are computed once per completion",
            type(policy).__name__,
            problem,
        )
    return trainer.share_prefixes and problem is None


@dataclass(slots=True)
class Packed:
    """Packed sequence of B rows.

    Attributes:
        token_ids: N tokens. The last token of a completion is left out, as it predicts nothing.
        positions: position of each token in its row.
        nodes: nodes of the tree.
        places: for each row, the index of the last token of its prompt, and that of the first of its completion.
    """

    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    @property
    def tree(self) -> PrefixTree:
        """Which token attends to which."""
        return PrefixTree(self.nodes)

    def append(self, token_ids: Sequence[int], position: int) -> int:
        """Append tokens as a node without descendants, and return the index of the first."""
        start = len(self.token_ids)
        self.token_ids += token_ids
        self.positions += range(position, position + len(token_ids))
        if token_ids:
            self.nodes.append(Node(start, len(self.token_ids), len(self.token_ids)))
        return start


def sorted_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows in an order in which those with common beginnings are adjacent."""
    return sorted(rows, key=lambda row: (row.prompt_ids, len(row.completion_ids)))


def split_packed(rows: Sequence[Row], token_budget: int) -> list[list[Row]]:
    """Sort rows and split them into micro-batches of at most ``token_budget`` packed tokens, or of one longer row.

    A prompt is computed once per micro-batch that it is in, so the cuts are those with the fewest tokens in all, and
    among these the fewest micro-batches.
    """
    rows = sorted_rows(rows)
    shared = [0, *(_shared(one.prompt_ids, other.prompt_ids) for one, other in pairwise(rows))]
    # best[end]: tokens and number of the micro-batches of rows[:end], and the start of the last one
    best: list[tuple[int, int, int]] = [(0, 0, 0)]
    for end in range(1, len(rows) + 1):
        options: list[tuple[int, int, int]] = []
        tokens = 0  # of rows[start:end] as one micro-batch
        for start in range(end - 1, -1, -1):
            tokens += rows[start].length - (shared[start + 1] if start + 1 < end else 0)
            if options and tokens > token_budget:
                break
            options.append((best[start][0] + tokens, best[start][1] + 1, start))
        best.append(min(options))
    parts: list[list[Row]] = []
    end = len(rows)
    while end:
        start = best[end][2]
        parts.append(rows[start:end])
        end = start
    return parts[::-1]


def pack(rows: Sequence[Row]) -> Packed:
    """Pack rows, in the order of `sorted_rows`, which they must have."""
    packed = Packed()
    _pack(rows, 0, packed)
    return packed


def _pack(rows: Sequence[Row], offset: int, packed: Packed) -> None:
    """Append rows whose first ``offset`` prompt tokens, which are equal, are packed already."""
    first, last = rows[0].prompt_ids, rows[-1].prompt_ids
    if len(rows) == 1:
        start = packed.append([*first[offset:], *rows[0].completion_ids[:-1]], offset)
        completion = start + len(first) - offset
        packed.places.append((completion - 1, completion))
        return
    common = common_tokens(first, last)  # of all rows, as they are sorted
    if not _worth_sharing(first, last, common):
        for _, part in groupby(rows, key=lambda row: row.prompt_ids[common : common + 1]):
            _pack(list(part), offset, packed)
        return
    node = len(packed.nodes)
    start = packed.append(first[offset:common], offset)
    end = start + common - offset
    for continued, part in groupby(rows, key=lambda row: row.prompt_ids[common : common + 1]):
        if continued:
            _pack(list(part), common, packed)
        else:
            packed.places += [(end - 1, packed.append(row.completion_ids[:-1], common)) for row in part]
    packed.nodes[node] = Node(start, end, len(packed.token_ids))


def _shared(previous: tuple[int, ...], prompt: tuple[int, ...]) -> int:
    """Return the number of tokens of a prompt that are packed with the one before it."""
    common = common_tokens(previous, prompt)
    return common if _worth_sharing(previous, prompt, common) else 0


def _worth_sharing(one: tuple[int, ...], other: tuple[int, ...], common: int) -> bool:
    return common >= _SHARED_TOKENS or one == other
