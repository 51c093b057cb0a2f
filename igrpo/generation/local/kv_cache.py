"""The key-value cache of a decode batch whose rows are added and removed over time.

A row is left-aligned in its slot: position p of its sequence is stored in column p, independently of the other rows. So
a new row is written next to the running ones, a removed row is replaced by the last one, and nothing is padded, shifted
or concatenated during decoding. Columns past a row's length hold stale but finite numbers; the attention mask hides
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer

#: Columns are added in multiples of this, and by at least a quarter of the current number.
_COLUMN_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of P prefilled prompts, right-aligned in L columns, and the logits that follow them.

    ``keys`` and ``values`` hold one [P, heads, L, head_dim] tensor per layer; ``logits`` is [P, V], float32.
    """

    keys: list[Tensor]
    values: list[Tensor]
    lengths: list[int]
    logits: Tensor

    @classmethod
    def from_cache(cls, cache: DynamicCache, lengths: list[int], logits: Tensor) -> Prefix:
        """Build a prefix from the keys and values that a forward pass left in ``cache``."""
        keys, values = [], []
        for layer in cache.layers:
            if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
                raise RuntimeError(f"the model left no keys and values in a {type(layer).__name__} of its cache")
            keys.append(layer.keys)
            values.append(layer.values)
        return cls(keys, values, lengths, logits)

    def select(self, index: int) -> Prefix:
        """Return a copy of one prompt, so that the memory of the others can be freed."""
        kept = slice(-self.lengths[index], None)
        keys = [layer[index : index + 1, :, kept].clone() for layer in self.keys]
        values = [layer[index : index + 1, :, kept].clone() for layer in self.values]
        return Prefix(keys, values, [self.lengths[index]], self.logits[index : index + 1].clone())


@dataclass(slots=True)
class _Step:
    """State of the current decode step shared by all layers: rows, positions to write, and columns to read."""

    rows: Tensor
    positions: Tensor
    width: int


class _SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """The cache of one layer: [slots, heads, columns, head_dim] buffers, written in place."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor, step: _Step) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys: Tensor = keys
        self.values: Tensor = values
        self.step = step
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        raise AssertionError("a slot layer is made with its buffers")

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one token per row ([B, heads, 1, head_dim]), and return the columns to read.

        The returned keys and values are [B, heads, width, head_dim].
        """
        step, batch = self.step, key_states.shape[0]
        self.keys[step.rows, :, step.positions] = key_states[:, :, 0].to(self.keys.dtype)
        self.values[step.rows, :, step.positions] = value_states[:, :, 0].to(self.values.dtype)
        return self.keys[:batch, :, : step.width], self.values[:batch, :, : step.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.step.width, 0

    def get_seq_length(self) -> int:
        return self.step.width - 1

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """The cache of a decode batch. Rows 0 .. B-1 are live; the caller gives the position of each."""

    def __init__(self, like: Prefix, max_rows: int) -> None:
        """Create an empty cache with the layers, heads, dtype and device of ``like``, for at most ``max_rows`` rows."""
        self.max_rows = max_rows
        none = torch.zeros(0, dtype=torch.long, device=like.logits.device)
        self.step = _Step(none, none, 0)
        self.slot_layers = [
            _SlotLayer(_empty(keys, 0, 0), _empty(values, 0, 0), self.step)
            for keys, values in zip(like.keys, like.values, strict=True)
        ]
        super().__init__(layers=list(self.slot_layers))

    def begin_step(self, positions_B: Tensor, width: int) -> None:
        """Start a step: row b writes to column ``positions_B[b]``, and all rows read the first ``width`` columns."""
        rows = len(positions_B)
        self._reserve(rows, width)
        if len(self.step.rows) != rows:
            self.step.rows = torch.arange(rows, device=positions_B.device)
        self.step.positions, self.step.width = positions_B, width

    def insert(self, prefix: Prefix, sources_B: Tensor, start: int) -> None:
        """Copy prompt ``sources_B[i]`` of ``prefix`` into slot ``start + i``, so that its samples share one prefill."""
        columns = prefix.keys[0].shape[2]
        stop = start + len(sources_B)
        self._reserve(stop, columns)
        # Right-aligned to left-aligned; past a prompt's end its last token is repeated, which the mask hides.
        pads_P = columns - torch.tensor(prefix.lengths, device=sources_B.device)
        shifted = pads_P[sources_B, None] + torch.arange(columns, device=sources_B.device)
        shifted.clamp_(max=columns - 1)
        for layer, keys, values in zip(self.slot_layers, prefix.keys, prefix.values, strict=True):
            layer.keys[start:stop, :, :columns] = keys[sources_B[:, None], :, shifted].transpose(1, 2)
            layer.values[start:stop, :, :columns] = values[sources_B[:, None], :, shifted].transpose(1, 2)

    def move(self, targets: Tensor, sources: Tensor, width: int) -> None:
        """Copy the first ``width`` columns of the slots ``sources`` over the slots ``targets``."""
        for layer in self.slot_layers:
            layer.keys[targets, :, :width] = layer.keys[sources, :, :width]
            layer.values[targets, :, :width] = layer.values[sources, :, :width]

    def _reserve(self, rows: int, columns: int) -> None:
        """Grow to at least that many slots and columns; existing contents are kept."""
        have_rows, _, have_columns, _ = self.slot_layers[0].keys.shape
        if rows <= have_rows and columns <= have_columns:
            return
        if rows > have_rows:
            have_rows = min(self.max_rows, max(rows, 2 * have_rows))
        if columns > have_columns:
            wanted = max(columns, have_columns + have_columns // 4)
            have_columns = -(-wanted // _COLUMN_CHUNK) * _COLUMN_CHUNK
        for layer in self.slot_layers:
            layer.keys = _resized(layer.keys, have_rows, have_columns)
            layer.values = _resized(layer.values, have_rows, have_columns)


def _empty(like: Tensor, rows: int, columns: int) -> Tensor:
    # Zeros, not uninitialised memory: a masked NaN would still give NaN in the weighted sum.
    return like.new_zeros(rows, like.shape[1], columns, like.shape[3])


def _resized(old: Tensor, rows: int, columns: int) -> Tensor:
    """Return a buffer [rows, heads, columns, head_dim] that begins with ``old`` and goes on with zeros."""
    new = _empty(old, rows, columns)
    new[: old.shape[0], :, : old.shape[2]] = old
    return new
