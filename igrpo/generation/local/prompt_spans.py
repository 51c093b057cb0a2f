"""Division of the prompts of a decode batch into spans whose attention is one padded product each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Largest ratio of padded to needed (row, prompt token) pairs in a span of several prompts.
_MAX_PADDING = 2


@dataclass(frozen=True, slots=True)
class PromptSpan:
    """Prompts in neighbouring slots, each with the same number ``group`` of places for rows.

    ``rows`` [P * group] names the row of each place (repeated where a prompt has fewer rows), ``columns`` is the length
    of the longest prompt, and ``mask`` [P, 1, 1, columns] hides the columns past the end of the others (None: none).
    ``members`` are the rows by prompt.
    """

    prompts: slice
    group: int
    columns: int
    rows: Tensor
    mask: Tensor | None
    members: list[list[int]]


def make_spans(
    row_prompts: Sequence[int], lengths: Sequence[int], dtype: torch.dtype, device: torch.device
) -> list[PromptSpan]:
    """Cut the prompts, in the order of their slots, into as few spans as the padding allows.

    Args:
        row_prompts: the prompt of each row; every prompt has at least one row.
        lengths: tokens of each prompt.
    """
    members: list[list[int]] = [[] for _ in lengths]
    for row, prompt in enumerate(row_prompts):
        members[prompt].append(row)
    spans: list[PromptSpan] = []
    start, rows, columns, needed = 0, 0, 0, 0
    for slot, (group, length) in enumerate(zip(members, lengths, strict=True)):
        grown = max(rows, len(group)), max(columns, length), needed + len(group) * length
        if slot > start and (slot + 1 - start) * grown[0] * grown[1] > _MAX_PADDING * grown[2]:
            spans.append(_span(start, members[start:slot], lengths[start:slot], dtype, device))
            start, grown = slot, (len(group), length, len(group) * length)
        rows, columns, needed = grown
    return [*spans, _span(start, members[start:], lengths[start:], dtype, device)]


def row_places(spans: Sequence[PromptSpan], rows: int) -> Tensor | None:
    """Return the index of each row in the concatenated output of the spans, [rows]; None if the order is the same."""
    places, offset = [0] * rows, 0
    for span in spans:
        for i, group in enumerate(span.members):
            for j, row in enumerate(group):
                places[row] = offset + i * span.group + j
        offset += len(span.members) * span.group
    if places == list(range(offset)):
        return None
    return torch.tensor(places, device=spans[0].rows.device)


def _span(
    start: int, members: list[list[int]], lengths: Sequence[int], dtype: torch.dtype, device: torch.device
) -> PromptSpan:
    group, columns = max(map(len, members)), max(lengths)
    rows = [row for each in members for row in (*each, *[each[0]] * (group - len(each)))]
    mask = None
    if min(lengths) < columns:
        hidden_PL = torch.arange(columns, device=device) >= torch.tensor(lengths, device=device)[:, None]
        mask = torch.zeros(hidden_PL.shape, dtype=dtype, device=device)
        mask = mask.masked_fill_(hidden_PL, torch.finfo(dtype).min)[:, None, None]
    return PromptSpan(
        slice(start, start + len(lengths)), group, columns, torch.tensor(rows, device=device), mask, members
    )
