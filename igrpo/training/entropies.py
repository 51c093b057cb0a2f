"""Measurement of entropies that the sampling engine does not report, by the trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from igrpo.distributed import gather
from igrpo.models.weights import is_sharded
from igrpo.training.batching import NOTHING, Row, collate, split_rows
from igrpo.training.forward import PolicyForward
from igrpo.types import Completion, Trace


@dataclass(frozen=True, slots=True)
class EntropyMeter:
    """Runs the policy without gradients over the first ``completions`` completions of each group.

    The mean entropy of these tokens estimates the mean over all tokens of the stage (paper, Eq. 7) without a forward
    pass over every draft. ``temperature`` is the sampling temperature.
    """

    completions: int
    temperature: float
    chunk: int
    tokens_per_microbatch: int
    pad_id: int

    @torch.no_grad()
    def measure(self, traces: Sequence[Trace], policy: Any, device: torch.device) -> list[Trace]:
        """Return the traces with missing entropies filled in. With sharded weights, every process must call this."""
        forward = PolicyForward(self.temperature, self.chunk)
        rows = {id(c): Row(prompt, c.token_ids, c.logprobs, 0.0, valid=True) for prompt, c in self._missing(traces)}
        owners = {id(row): key for key, row in rows.items()}
        batches = split_rows(list(rows.values()), self.tokens_per_microbatch)
        if is_sharded(policy.parameters()):
            batches += [[NOTHING]] * (max(gather(len(batches))) - len(batches))
        found: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {}
        for batch in batches:
            stats = forward(policy, collate(batch, self.pad_id).to(device), entropies="value")
            assert stats.entropies_BT is not None
            assert stats.sampling_entropies_BT is not None
            values = zip(batch, stats.sampling_entropies_BT.tolist(), stats.entropies_BT.tolist(), strict=True)
            for row, sampling, plain in values:
                size = len(row.completion_ids)
                if id(row) in owners:
                    found[owners[id(row)]] = tuple(sampling[:size]), tuple(plain[:size])
        return [_filled(trace, found) for trace in traces]

    def _missing(self, traces: Sequence[Trace]) -> Iterator[tuple[tuple[int, ...], Completion]]:
        for trace in traces:
            for group in trace.groups:
                for completion in group.completions[: self.completions]:
                    if completion.policy_entropies is None and completion.token_ids:
                        yield group.prompt.token_ids, completion


def _filled(trace: Trace, found: dict[int, tuple[tuple[float, ...], tuple[float, ...]]]) -> Trace:
    def filled(completion: Completion) -> Completion:
        if id(completion) not in found:
            return completion
        sampling, plain = found[id(completion)]
        return replace(completion, sampling_entropies=sampling, policy_entropies=plain)

    groups = [replace(group, completions=tuple(map(filled, group.completions))) for group in trace.groups]
    return replace(trace, groups=tuple(groups))
