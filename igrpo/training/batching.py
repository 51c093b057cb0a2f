"""Collation of rows into micro-batches within a token budget: padded, or packed with shared prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from igrpo.models.flops import Work, row_work
from igrpo.models.prefix_tree import PrefixTree
from igrpo.models.tree_attention import tree_arguments
from igrpo.training.packing import pack, sorted_rows, split_packed
from igrpo.training.rows import Row


@dataclass(frozen=True, slots=True)
class PaddedInputs:
    """Rows padded on the right. No position ids are needed, because attention is causal."""

    token_ids_BL: Tensor
    attention_mask_BL: Tensor

    def to(self, device: torch.device) -> PaddedInputs:
        """Copy the inputs to a device."""
        return PaddedInputs(self.token_ids_BL.to(device), self.attention_mask_BL.to(device))

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the model's forward pass."""
        return {"input_ids": self.token_ids_BL, "attention_mask": self.attention_mask_BL}


@dataclass(frozen=True, slots=True)
class PackedInputs:
    """A single packed sequence of L tokens, without padding, and the tree that defines its attention mask."""

    token_ids_L: Tensor
    positions_L: Tensor
    tree: PrefixTree

    def to(self, device: torch.device) -> PackedInputs:
        """Copy the inputs to a device."""
        return PackedInputs(self.token_ids_L.to(device), self.positions_L.to(device), self.tree.to(device))

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the model's forward pass."""
        return tree_arguments(self.token_ids_L, self.positions_L, self.tree)


ModelInputs = PaddedInputs | PackedInputs


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """B rows with completions of up to T tokens, as the model's input of ``inputs``, R x L tokens.

    ``inputs`` are rows padded on the right (R = B), or all rows packed into one sequence (R = 1) with its ``tree``.
    ``predictors_BT`` holds, for each completion token, the index (from 0 to R * L - 1) of the input token whose hidden
    state predicts it. ``mask_BT`` is True at the tokens that enter the loss. ``cross_prompt_B`` is True for rows that
    were sampled from another prompt. ``work`` is the work of one forward pass over separate rows, without padding.
    """

    inputs: ModelInputs
    predictors_BT: Tensor
    targets_BT: Tensor
    mask_BT: Tensor
    advantages_B: Tensor
    sampler_logprobs_BT: Tensor
    cross_prompt_B: Tensor
    work: Work

    def to(self, device: torch.device) -> MicroBatch:
        """Copy the batch to a device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "work"}
        return MicroBatch(**moved, work=self.work)


def micro_batches(rows: Sequence[Row], token_budget: int, pad_id: int, *, packed: bool) -> list[MicroBatch]:
    """Collate rows into micro-batches of at most ``token_budget`` input tokens, or of one longer row.

    ``packed``: for models whose attention follows a `PrefixTree`. The order of the rows may change.
    """
    if packed:
        return [collate_packed(part, pad_id) for part in split_packed(rows, token_budget)]
    return [collate(part, pad_id) for part in split_rows(rows, token_budget)]


class HasLength(Protocol):
    """Anything with a number of tokens."""

    @property
    def length(self) -> int: ...


R = TypeVar("R", bound=HasLength)


def split_rows(rows: Sequence[R], token_budget: int) -> list[list[R]]:
    """Split rows into micro-batches of similar length.

    Each has at most ``token_budget`` tokens, padding included, or is one longer row.
    """
    parts: list[list[R]] = []
    for row in sorted(rows, key=lambda row: row.length, reverse=True):
        if parts and parts[-1][0].length * (len(parts[-1]) + 1) <= token_budget:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def collate(rows: Sequence[Row], pad_id: int) -> MicroBatch:
    """Collate rows, padded on the right."""
    longest = max(row.length for row in rows)
    rests = [longest - row.length for row in rows]
    ids = [[*row.prompt_ids, *row.completion_ids, *[pad_id] * rest] for row, rest in zip(rows, rests, strict=True)]
    attention = [[1] * row.length + [0] * rest for row, rest in zip(rows, rests, strict=True)]
    prompts = [i * longest + len(row.prompt_ids) for i, row in enumerate(rows)]
    places = [(end - 1, end) for end in prompts]
    return _batch(rows, PaddedInputs(torch.tensor(ids), torch.tensor(attention)), places, pad_id)


def collate_packed(rows: Sequence[Row], pad_id: int) -> MicroBatch:
    """Collate rows as one packed sequence, in which common beginnings of prompts occur once."""
    rows = sorted_rows(rows)
    packed = pack(rows)
    inputs = PackedInputs(torch.tensor(packed.token_ids), torch.tensor(packed.positions), packed.tree)
    return _batch(rows, inputs, packed.places, pad_id)


def _batch(rows: Sequence[Row], inputs: ModelInputs, places: Sequence[tuple[int, int]], pad_id: int) -> MicroBatch:
    """Collate what the loss needs. ``places``: indices of each prompt's last token and of the completion's first."""
    width = max(len(row.completion_ids) for row in rows)
    predictors, targets, mask, sampler = [], [], [], []
    for row, (prompt_end, start) in zip(rows, places, strict=True):
        size = len(row.completion_ids)
        predictors.append([prompt_end, *range(start, start + size - 1), *[0] * (width - size)])
        targets.append([*row.completion_ids, *[pad_id] * (width - size)])
        mask.append([row.valid] * size + [False] * (width - size))
        sampler.append([*row.sampler_logprobs, *[0.0] * (width - size)])
    return MicroBatch(
        inputs=inputs,
        predictors_BT=torch.tensor(predictors),
        targets_BT=torch.tensor(targets),
        mask_BT=torch.tensor(mask, dtype=torch.bool),
        advantages_B=torch.tensor([row.advantage for row in rows], dtype=torch.float32),
        sampler_logprobs_BT=torch.tensor(sampler, dtype=torch.float32),
        cross_prompt_B=torch.tensor([row.cross_prompt for row in rows]),
        work=sum((row_work(len(row.prompt_ids), len(row.completion_ids)) for row in rows), Work()),
    )
