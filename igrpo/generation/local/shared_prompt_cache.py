"""A key-value cache that stores the prompt of a group once, and attention that reads it once for all rows of the group.

The keys and values of a row are in two places: those of its prompt in the slot of the prompt, those of its new tokens
in its own slot. Attention to the prompt is computed for all rows of a group in one product, attention to the own tokens
row by row, and the two are joined by a softmax over the own scores and the log-sum-exp of the prompt's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from igrpo.generation.local.kv_cache import Prefix
from igrpo.generation.local.prompt_spans import PromptSpan, make_spans, row_places

#: Columns are added in multiples of this, and as few as are needed: attention to the own tokens reads whole buffers,
#: which is up to three times faster per byte than reading the first columns of each slot.
_COLUMN_CHUNK = 32
#: A score that the softmax turns into 0, but finite, so that no difference of infinities can arise.
_HIDDEN = torch.finfo(torch.float32).min
_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


class _Buffers:
    """Keys and values of all layers, [slots, key heads, columns, head_dim] each; grown by copying."""

    def __init__(self, like: Prefix, max_slots: int) -> None:
        self._max_slots = max_slots
        self.keys = [keys[:0, :, :0] for keys in like.keys]
        self.values = [values[:0, :, :0] for values in like.values]

    @property
    def columns(self) -> int:
        return self.keys[0].shape[2]

    def reserve(self, slots: int, columns: int) -> None:
        """Grow to at least that many slots and columns; existing contents are kept, the rest is 0."""
        have_slots = self.keys[0].shape[0]
        if slots <= have_slots and columns <= self.columns:
            return
        if slots > have_slots:
            have_slots = min(self._max_slots, max(slots, 2 * have_slots))
        columns = max(self.columns, -(-columns // _COLUMN_CHUNK) * _COLUMN_CHUNK)
        for buffers in (self.keys, self.values):
            for layer, buffer in enumerate(buffers):
                buffers[layer] = _resized(buffer, have_slots, columns)

    def move(self, targets: Tensor, sources: Tensor, width: int) -> None:
        """Copy the first ``width`` columns of the slots ``sources`` over the slots ``targets``."""
        for buffer in (*self.keys, *self.values):
            buffer[targets, :, :width] = buffer[sources, :, :width]


class SharedPromptCache:
    """The cache of a decode batch with rows 0 .. B-1; prompts leave with their last row."""

    def __init__(self, like: Prefix, max_rows: int) -> None:
        """Create an empty cache with the layers, heads, dtype and device of ``like``, for at most ``max_rows`` rows."""
        self._prompts, self._rows = _Buffers(like, max_rows), _Buffers(like, max_rows)
        self._dtype, self._device = like.keys[0].dtype, like.keys[0].device
        self._prompt_lengths: list[int] = []
        self._row_prompts: list[int] = []
        self._row_births: list[int] = []
        self._clock = 0
        self._changed = True
        self._spans: list[PromptSpan] = []
        self._places_B: Tensor | None = None
        self._births_B: Tensor = torch.zeros(0, dtype=torch.long)
        self._columns: Tensor | int = 0
        self._mask_B1W = torch.zeros(0)

    def insert(self, prefix: Prefix, sources: Sequence[int]) -> None:
        """Append one row per entry of ``sources``, which continues that prompt of ``prefix``."""
        first = len(self._prompt_lengths)
        used = sorted(set(sources))
        slots = {source: first + i for i, source in enumerate(used)}
        lengths = [prefix.lengths[source] for source in used]
        self._prompts.reserve(first + len(used), max(lengths))
        for source, length in zip(used, lengths, strict=True):
            slot = slots[source]
            for mine, theirs in ((self._prompts.keys, prefix.keys), (self._prompts.values, prefix.values)):
                for buffer, layer in zip(mine, theirs, strict=True):
                    buffer[slot, :, :length] = layer[source, :, layer.shape[2] - length :]
        self._prompt_lengths += lengths
        self._row_prompts += [slots[source] for source in sources]
        self._row_births += [self._clock] * len(sources)
        self._rows.reserve(len(self._row_prompts), 1)
        self._changed = True

    def remove(self, targets: Sequence[int], sources: Sequence[int], left: int) -> None:
        """Move the rows ``sources`` to the slots ``targets``, and drop all rows from ``left`` on."""
        if targets:
            self._rows.move(self._tensor(targets), self._tensor(sources), self._clock - min(self._row_births))
        for target, source in zip(targets, sources, strict=True):
            self._row_prompts[target] = self._row_prompts[source]
            self._row_births[target] = self._row_births[source]
        del self._row_prompts[left:], self._row_births[left:]
        self._drop_prompts()
        self._changed = True

    def begin_step(self) -> None:
        """Start a step, in which each layer writes one token per row by ``attend``."""
        if self._changed:
            self._changed = False
            self._spans = make_spans(self._row_prompts, self._prompt_lengths, self._dtype, self._device)
            self._places_B = row_places(self._spans, len(self._row_prompts))
            self._births_B = self._tensor(self._row_births)
        oldest, newest = min(self._row_births), max(self._row_births)
        self._clock += 1
        self._rows.reserve(len(self._row_prompts), self._clock - oldest)
        self._columns = self._clock - 1 - (oldest if oldest == newest else self._births_B)
        columns_1B1 = torch.as_tensor(self._columns, device=self._device).view(-1, 1, 1)
        hidden_B1W = torch.arange(self._rows.columns, device=self._device) > columns_1B1
        self._mask_B1W = torch.zeros(hidden_B1W.shape, device=self._device).masked_fill_(hidden_B1W, _HIDDEN)

    def attend(self, layer: int, query_BKRD: Tensor, key_BKD: Tensor, value_BKD: Tensor, scaling: float) -> Tensor:
        """Store one token per row, and return the attention to the prompt and to the own tokens, [B, K * R * D].

        K is the number of key heads, R that of query heads per key head, D the head dimension.
        """
        batch, heads, shared, dim = query_BKRD.shape
        keys, values = self._rows.keys[layer][:batch], self._rows.values[layer][:batch]
        if isinstance(self._columns, int):
            keys[:, :, self._columns], values[:, :, self._columns] = key_BKD, value_BKD
        else:
            rows_B = torch.arange(batch, device=self._device)
            keys[rows_B, :, self._columns], values[rows_B, :, self._columns] = key_BKD, value_BKD
        query_NRD = query_BKRD.reshape(batch * heads, shared, dim)  # N: pairs of a row and a key head
        scores_NRW = torch.bmm(query_NRD, keys.view(batch * heads, -1, dim).transpose(1, 2)).float().mul_(scaling)
        scores_NRW.view(batch, heads * shared, -1).add_(self._mask_B1W)
        prompt_BKRD, prompt_sum_BKR = self._attend_to_prompts(layer, query_BKRD, scaling)
        # The prompt takes part in the softmax as one more column, which has its log-sum-exp as the score.
        joined = torch.cat([scores_NRW, prompt_sum_BKR.reshape(batch * heads, shared, 1)], -1).softmax(-1)
        own_NRW, prompt_NR1 = joined[..., :-1].to(values.dtype), joined[..., -1:]
        prompt_NRD = prompt_BKRD.reshape(batch * heads, shared, dim) * prompt_NR1.to(values.dtype)
        attended = torch.baddbmm(prompt_NRD, own_NRW, values.view(batch * heads, -1, dim))
        return attended.view(batch, heads * shared * dim)

    def _attend_to_prompts(self, layer: int, query_BKRD: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
        """Return the attention to the prompt alone, [B, K, R, D], and its log-sum-exp, [B, K, R]."""
        _, heads, shared, dim = query_BKRD.shape
        outputs, sums = [], []
        for span in self._spans:
            prompts, group = span.prompts.stop - span.prompts.start, span.group
            query = query_BKRD.index_select(0, span.rows).view(prompts, group, heads, shared, dim)
            query = query.transpose(1, 2).reshape(prompts, heads, group * shared, dim)
            output, total = _flash(
                query,
                self._prompts.keys[layer][span.prompts, :, : span.columns],
                self._prompts.values[layer][span.prompts, :, : span.columns],
                attn_mask=span.mask,
                scale=scaling,
            )
            output = output.view(prompts, heads, group, shared, dim).transpose(1, 2)
            outputs.append(output.reshape(-1, heads, shared, dim))
            sums.append(total.view(prompts, heads, group, shared).transpose(1, 2).reshape(-1, heads, shared))
        output_BKRD = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        sum_BKR = sums[0] if len(sums) == 1 else torch.cat(sums)
        if self._places_B is None:
            return output_BKRD, sum_BKR
        return output_BKRD.index_select(0, self._places_B), sum_BKR.index_select(0, self._places_B)

    def _drop_prompts(self) -> None:
        """Drop prompts without rows; the last prompts take their slots."""
        used = set(self._row_prompts)
        left = len(used)
        holes = [slot for slot in range(left) if slot not in used]
        last = [slot for slot in range(left, len(self._prompt_lengths)) if slot in used]
        if holes:
            width = max(self._prompt_lengths[slot] for slot in last)
            self._prompts.move(self._tensor(holes), self._tensor(last), width)
            moved = dict(zip(last, holes, strict=True))
            for source, target in moved.items():
                self._prompt_lengths[target] = self._prompt_lengths[source]
            self._row_prompts = [moved.get(slot, slot) for slot in self._row_prompts]
        del self._prompt_lengths[left:]

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)


def _resized(old: Tensor, slots: int, columns: int) -> Tensor:
    new = old.new_empty(slots, old.shape[1], columns, old.shape[3])
    new[: old.shape[0], :, : old.shape[2]] = old
    # not uninitialised memory: a hidden NaN would still give NaN in the weighted sum
    new[old.shape[0] :] = 0
    new[: old.shape[0], :, old.shape[2] :] = 0
    return new
