"""A batch of rows that are decoded together: prefilled, stepped one token at a time, and removed when they end.

All state of a step stays on the model's device; one small transfer per step reports which rows have ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from igrpo.generation.base import SamplingParams
from igrpo.generation.local.decode_paths import DecodePath, ModelPath, PathMaker
from igrpo.generation.local.kv_cache import Prefix
from igrpo.generation.local.prefill import embedding_weight
from igrpo.generation.sampling import RowSampling, sample_tokens, uniforms

#: Columns of the integer state of a row: last token, cached tokens, new tokens, their limit, seed, top-k.
_LAST, _CACHED, _NEW, _LIMIT, _SEED, _TOP_K, _INTEGERS = range(7)
_NO_TOKEN = -1
_RECORD_CHUNK = 64


Owner = TypeVar("Owner")


@dataclass(eq=False, slots=True)
class DecodeRow(Generic[Owner]):
    """A sample being decoded. ``owner`` is the caller's own handle; ``born`` is set by the batch."""

    owner: Owner
    index: int
    prompt_length: int
    params: SamplingParams
    seed: int
    born: int = 0


@dataclass(frozen=True, slots=True)
class FinishedRow(Generic[Owner]):
    """A finished row: its tokens and, per token, log-prob, sampling entropy and policy entropy (nats)."""

    row: DecodeRow[Owner]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    sampling_entropies: tuple[float, ...]
    policy_entropies: tuple[float, ...]


class DecodeBatch(Generic[Owner]):
    """A batch of at most ``max_rows`` rows in the slots 0 .. n-1; a removed row is replaced by the last one.

    The result depends only on the calls: an empty batch frees its buffers, and no row's numbers depend on the other
    rows, up to the rounding of matrix products.
    """

    def __init__(self, model: PreTrainedModel, max_rows: int) -> None:
        self.rows: list[DecodeRow[Owner]] = []
        #: Makes the path of the next rows that an empty batch takes.
        self.new_path: PathMaker = partial(ModelPath, model)
        self._device = embedding_weight(model).device
        self._path: DecodePath | None = None
        self._clock = 0
        self._summarise()
        self._integers = torch.zeros(max_rows, _INTEGERS, dtype=torch.long, device=self._device)
        self._temperatures = torch.zeros(max_rows, dtype=torch.float32, device=self._device)
        self._top_ps = torch.zeros(max_rows, dtype=torch.float64, device=self._device)
        self._stops = torch.zeros(max_rows, 0, dtype=torch.long, device=self._device)
        self._records = torch.zeros(max_rows, 0, 4, dtype=torch.float64, device=self._device)

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def admit(
        self, prefix: Prefix, rows: Sequence[DecodeRow[Owner]], sources: Sequence[int]
    ) -> list[FinishedRow[Owner]]:
        """Add rows that continue the prompts ``sources`` of ``prefix``, and sample the first token of each."""
        start = len(self.rows)
        sources_B = torch.tensor(sources, device=self._device)
        if self._path is None:
            self._path = self.new_path(prefix, len(self._integers))
        self._path.insert(prefix, sources)
        self.rows.extend(rows)
        part = slice(start, len(self.rows))
        state = [(0, row.prompt_length, 0, row.params.max_new_tokens, row.seed, row.params.top_k) for row in rows]
        self._integers[part] = torch.tensor(state, device=self._device)
        self._temperatures[part] = torch.tensor([row.params.temperature for row in rows], device=self._device)
        top_ps = [row.params.top_p for row in rows]
        self._top_ps[part] = torch.tensor(top_ps, dtype=torch.float64, device=self._device)
        self._write_stops(part, [row.params.stop_token_ids for row in rows])
        for row in rows:
            row.born = self._clock
        self._summarise()
        return self._sample(part, prefix.logits[sources_B])

    @torch.no_grad()
    def step(self) -> list[FinishedRow[Owner]]:
        """Decode one more token for every row, and return the rows that ended with it.

        Raises:
            FloatingPointError: the model's logits are NaN or infinite.
        """
        assert self._path is not None, "an empty batch has no step"
        self._clock += 1
        part = slice(0, len(self.rows))
        cached_B = self._integers[part, _CACHED].clone()
        logits_BV = self._path.step(self._integers[part, _LAST], cached_B, self._longest + self._clock)
        self._integers[part, _CACHED] += 1
        return self._sample(part, logits_BV)

    def remove(self, slots: Sequence[int]) -> None:
        """Remove rows. The last rows take their slots; a batch that becomes empty frees its memory."""
        gone = set(slots)
        left = len(self.rows) - len(gone)
        if left == 0:
            self.clear()
            return
        holes = sorted(slot for slot in gone if slot < left)
        last = [slot for slot in range(left, len(self.rows)) if slot not in gone]
        assert self._path is not None
        self._path.remove(holes, last, left, self._longest + self._clock)
        if holes:
            targets, sources = (torch.tensor(slots, device=self._device) for slots in (holes, last))
            for state in (self._integers, self._temperatures, self._top_ps, self._stops, self._records):
                state[targets] = state[sources]
            for target, source in zip(holes, last, strict=True):
                self.rows[target] = self.rows[source]
        del self.rows[left:]
        self._summarise()

    def clear(self) -> None:
        """Remove all rows and free their memory."""
        self.rows.clear()
        self._summarise()
        self._path = None
        self._records = self._records[:, :0].clone()
        self._stops = self._stops[:, :0].clone()

    def _sample(self, part: slice, logits_BV: Tensor) -> list[FinishedRow[Owner]]:
        """Sample the next token of the rows of ``part``, record it, and remove the rows that ended."""
        state = self._integers[part]
        new_B = state[:, _NEW].clone()
        sampled = sample_tokens(logits_BV, uniforms(state[:, _SEED], new_B), self._row_sampling(part))
        self._make_room_for_records()
        statistics = (sampled.logprobs, sampled.sampling_entropies, sampled.policy_entropies)
        slots_B = torch.arange(part.start, part.stop, device=self._device)
        self._records[slots_B, new_B] = torch.stack([column.double() for column in (sampled.tokens, *statistics)], -1)
        state[:, _NEW] += 1
        state[:, _LAST] = sampled.tokens
        ended_B = (sampled.tokens[:, None] == self._stops[part]).any(-1) | (state[:, _NEW] >= state[:, _LIMIT])
        verdicts = (ended_B + 2 * sampled.broken).tolist()
        for row, verdict in zip(self.rows[part], verdicts, strict=True):
            if verdict >= 2:
                raise FloatingPointError(
                    f"the model's logits are not finite (NaN or infinity) at new token {self._clock - row.born + 1} "
                    f"after a prompt of {row.prompt_length} tokens: the weights have diverged or overflow their type"
                )
        ended = [part.start + i for i, verdict in enumerate(verdicts) if verdict]
        finished = self._finish(ended) if ended else []
        if ended:
            self.remove(ended)
        return finished

    def _finish(self, slots: Sequence[int]) -> list[FinishedRow[Owner]]:
        finished = []
        for slot, record in zip(slots, self._records[list(slots)].tolist(), strict=True):
            row = self.rows[slot]
            tokens, logprobs, sampling, policy = zip(*record[: self._clock - row.born + 1], strict=True)
            finished.append(FinishedRow(row, tuple(int(token) for token in tokens), logprobs, sampling, policy))
        return finished

    def _row_sampling(self, part: slice) -> RowSampling:
        tempered, filtered, greedy = self._needs
        temperatures, top_ps, top_ks = self._temperatures[part], self._top_ps[part], self._integers[part, _TOP_K]
        return RowSampling(temperatures, top_ps, top_ks, tempered=tempered, filtered=filtered, greedy=greedy)

    def _summarise(self) -> None:
        """Update the values that summarise all rows; they change only when rows are added or removed."""
        params = {row.params for row in self.rows}
        self._needs = (
            any(p.temperature != 1 for p in params),
            any(p.top_k > 0 or p.top_p < 1 for p in params),
            any(p.temperature == 0 for p in params),
        )
        # A row reads prompt_length + clock - born columns, and has clock - born + 1 new tokens.
        self._longest = max((row.prompt_length - row.born for row in self.rows), default=0)
        self._oldest = min((row.born for row in self.rows), default=0)

    def _write_stops(self, part: slice, stops: Sequence[tuple[int, ...]]) -> None:
        columns = max(self._stops.shape[1], *(len(ids) for ids in stops))
        self._stops = _with_columns(self._stops, columns)
        padded = [[*ids, *[_NO_TOKEN] * (columns - len(ids))] for ids in stops]
        self._stops[part] = torch.tensor(padded, dtype=torch.long, device=self._device).view(len(stops), columns)

    def _make_room_for_records(self) -> None:
        needed, have = self._clock - self._oldest + 1, self._records.shape[1]
        if needed > have:
            self._records = _with_columns(self._records, max(needed, have + _RECORD_CHUNK))


def _with_columns(old: Tensor, columns: int) -> Tensor:
    """Return ``old`` with its second dimension extended to ``columns``; new columns hold no token."""
    if columns == old.shape[1]:
        return old
    new = old.new_full((old.shape[0], columns, *old.shape[2:]), _NO_TOKEN)
    new[:, : old.shape[1]] = old
    return new
