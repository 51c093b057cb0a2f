"""Sequences that share prefixes as one packed sequence, in which each shared prefix occurs once.

The completions of a group have the same prompt. Instead of one row per completion, which computes the prompt G times,
the prompt is packed once, with the completions behind it. Each completion attends to the prompt and to itself, and its
positions continue those of the prompt. Values and gradients are those of separate rows, up to rounding.

In general the packed tokens form a tree. A node is a run of adjacent tokens, and its descendants follow it directly
(depth first). So a token's subtree is an interval, and one integer per token describes the whole attention mask::

    query i attends to key j  <=>  j <= i < subtree_ends_N[j]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Within a part, the longest node has at most this many times the tokens of the shortest.
_PADDING = 1.25


def common_tokens(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the longest common prefix of two token sequences."""
    if one == other:
        return len(one)
    return next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))


class Node(NamedTuple):
    """Tokens ``start`` to ``end`` of the packed sequence, whose descendants are those up to ``subtree_end``."""

    start: int
    end: int
    subtree_end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class _Part:
    """Nodes of similar length as a batch of L tokens each, so that attention within all of them is one kernel call.

    A place after a node's end repeats its last token. It is behind all tokens of the node, so that under a causal mask
    none of them attends to it.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.shape = (len(nodes), nodes[0].length)
        starts_n1 = torch.tensor([[node.start] for node in nodes])
        lengths_n1 = torch.tensor([[node.length] for node in nodes])
        offsets_L = torch.arange(nodes[0].length)
        self.index = (starts_n1 + torch.minimum(offsets_L, lengths_n1 - 1)).flatten()
        real = (offsets_L < lengths_n1).flatten()
        self.padded = not bool(real.all())
        self.real, self.tokens = real.nonzero()[:, 0], self.index[real]
        first, last = nodes[0].start, nodes[-1].end
        self.span = slice(first, last) if last - first == len(self.tokens) == len(self.index) else None

    def rows(self, packed: Tensor) -> Tensor:
        """Take the nodes of a packed tensor [N, heads, ...] as [n, heads, L, ...]."""
        taken = packed[self.index if self.span is None else self.span]
        return taken.view(*self.shape, *packed.shape[1:]).transpose(1, 2)

    def gradient_rows(self, packed: Tensor) -> Tensor:
        """Take rows as above, with zeros in place of repeated tokens."""
        if not self.padded:
            return self.rows(packed)
        taken = packed.new_zeros(len(self.index), *packed.shape[1:])
        taken[self.real] = packed[self.tokens]
        return taken.view(*self.shape, *packed.shape[1:]).transpose(1, 2)

    def put(self, rows: Tensor, packed: Tensor) -> None:
        """Write rows into their places of a packed tensor."""
        flat = rows.transpose(1, 2).flatten(0, 1)
        if self.span is not None:
            packed[self.span] = flat
        else:
            packed[self.tokens] = flat[self.real] if self.padded else flat


class PrefixTree:
    """Structure of a packed sequence of N tokens. ``nodes`` are not empty, and stand in the order of their tokens."""

    def __init__(self, nodes: Sequence[Node], device: torch.device | None = None) -> None:
        self.nodes = tuple(nodes)
        self.device = device or torch.device("cpu")

    def to(self, device: torch.device) -> PrefixTree:
        """Return the tree with its tensors on another device."""
        return PrefixTree(self.nodes, device)

    @property
    def tokens(self) -> int:
        """Number of tokens N."""
        return self.nodes[-1].end

    @cached_property
    def subtree_ends_N(self) -> Tensor:
        """End of the subtree of each token's node."""
        lengths = torch.tensor([node.length for node in self.nodes])
        return torch.tensor([node.subtree_end for node in self.nodes]).repeat_interleave(lengths).to(self.device)

    @cached_property
    def mask_NN(self) -> Tensor:
        """Attention mask: True where the query (row) attends to the key (column)."""
        places = torch.arange(self.tokens, device=self.device)
        return (places <= places[:, None]) & (places[:, None] < self.subtree_ends_N)

    @cached_property
    def block_mask(self) -> Any:
        """Attention mask of FlexAttention."""
        from torch.nn.attention.flex_attention import create_block_mask

        ends_N = self.subtree_ends_N

        def attends(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & (query < ends_N[key])

        return create_block_mask(attends, None, None, self.tokens, self.tokens, device=str(self.device))

    @cached_property
    def parents(self) -> tuple[Node, ...]:
        """Nodes with descendants."""
        return tuple(node for node in self.nodes if node.subtree_end > node.end)

    @cached_property
    def parts(self) -> tuple[_Part, ...]:
        """All nodes, each in one part."""
        parts: list[list[Node]] = []
        for node in sorted(self.nodes, key=lambda node: node.length, reverse=True):
            if parts and parts[-1][0].length <= _PADDING * node.length:
                parts[-1].append(node)
            else:
                parts.append([node])
        return tuple(_Part(part) for part in parts)
