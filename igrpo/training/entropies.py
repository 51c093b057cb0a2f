"""Measurement of entropies that the sampling engine does not report, by the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from igrpo.distributed import gather
from igrpo.models.weights import is_sharded
from igrpo.training.batching import collate, split_rows
from igrpo.training.forward import PolicyForward
from igrpo.training.rows import DUMMY_ROW, Row
from igrpo.types import Completion, Rollout, Sample, SampleId, scored


class _Missing(NamedTuple):
    """Sample without entropies, the index of its rollout, and its row."""

    rollout: int
    sample: Sample
    row: Row

    @property
    def length(self) -> int:
        return self.row.length


@dataclass(frozen=True, slots=True)
class EntropyMeter:
    """Runs the policy without gradients over the first ``completions`` scored samples of each round.

    The mean entropy of these tokens estimates the mean over all tokens of a role (paper, Eq. 7) without a forward
    pass over every draft. ``temperature`` is the sampling temperature.
    """

    completions: int
    temperature: float
    chunk: int | None
    tokens_per_microbatch: int
    pad_id: int

    @torch.no_grad()
    def measure(self, rollouts: Sequence[Rollout], policy: Any, device: torch.device) -> list[Rollout]:
        """Return the rollouts with missing entropies filled in. With sharded weights, every process must call this."""
        forward = PolicyForward(self.temperature, self.chunk)
        unmeasured = [
            _Missing(i, sample, _row(sample)) for i, rollout in enumerate(rollouts) for sample in self._missing(rollout)
        ]
        batches = split_rows(unmeasured, self.tokens_per_microbatch)
        if is_sharded(policy.parameters()):
            batches += [[]] * (max(gather(len(batches))) - len(batches))
        measured: list[dict[SampleId, Completion]] = [{} for _ in rollouts]
        for batch in batches:
            rows = [missing.row for missing in batch] or [DUMMY_ROW]
            stats = forward(policy, collate(rows, self.pad_id).to(device), entropies="value")
            assert stats.entropies_BT is not None
            assert stats.sampling_entropies_BT is not None
            # strict=False: the dummy row of an empty batch belongs to no sample
            values = zip(batch, stats.sampling_entropies_BT.tolist(), stats.entropies_BT.tolist(), strict=False)
            for missing, sampling, plain in values:
                completion, size = missing.sample.completion, len(missing.row.completion_ids)
                measured[missing.rollout][missing.sample.id] = replace(
                    completion, sampling_entropies=tuple(sampling[:size]), policy_entropies=tuple(plain[:size])
                )
        return [rollout.with_completions(own) for rollout, own in zip(rollouts, measured, strict=True)]

    def _missing(self, rollout: Rollout) -> list[Sample]:
        """Return the samples to measure."""
        first = [sample for samples in rollout.rounds for sample in scored(samples)[: self.completions]]
        return [s for s in first if s.completion.policy_entropies is None and s.completion.token_ids]


def _row(sample: Sample) -> Row:
    completion = sample.completion
    return Row(sample.prompt.token_ids, completion.token_ids, completion.logprobs, 0.0, valid=True)
