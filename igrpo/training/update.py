"""The optimizer steps of one rollout cycle: rows in, changed weights and their measurements out."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from igrpo.config.schema import ObjectiveConfig, TrainerConfig
from igrpo.flops import FORWARD_AND_BACKWARD, ModelShape
from igrpo.objective import LossMetrics, Normaliser, policy_loss
from igrpo.training.batching import MicroBatch, Row, collate, normaliser, split_rows
from igrpo.training.forward import PolicyForward


class NonFiniteError(RuntimeError):
    """A loss or gradient was NaN or infinite and ``trainer.on_nonfinite`` is ``stop``."""


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What one rollout cycle's updates did. ``skipped`` counts updates left out because they were not finite; their
    tokens and operations count like the others'."""

    metrics: dict[str, float]
    trained_tokens: int
    flops: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Updater:
    """Gradient accumulation over micro-batches, clipping, one optimizer step a minibatch.

    Args:
        forward: how log-probs are computed.
        backward: ``loss -> None``; Lightning's ``manual_backward``.
        shape: the policy's (and so the reference's), to count operations by.
        reference: frozen policy of the KL term; None where beta is 0.
        pad_id: token that fills up rows.
    """

    policy: Any
    reference: Any | None
    objective: ObjectiveConfig
    trainer: TrainerConfig
    forward: PolicyForward
    backward: Callable[[Tensor], None]
    shape: ModelShape
    pad_id: int
    device: torch.device

    def run(self, questions_S: Sequence[Sequence[Row]], optimizer: Any) -> UpdateResult:
        """Update on the rows of S questions, ``trainer.epochs`` times in ``trainer.minibatches`` parts.

        Raises:
            NonFiniteError: see ``trainer.on_nonfinite``; the weights are those before that update.
        """
        count = self.trainer.minibatches
        parts = [[row for rows in questions_S[i::count] for row in rows] for i in range(count)]
        several = count * self.trainer.epochs > 1
        prepared = [[(batch, self._old(batch) if several else None) for batch in self._batches(part)] for part in parts]
        taken: list[tuple[LossMetrics | None, float]] = []
        tokens, skipped = 0, 0
        flops = sum(self.shape.flops(batch.work) for batches in prepared for batch, old in batches if old is not None)
        passes = FORWARD_AND_BACKWARD + (self.reference is not None)
        gap = _SamplerGap()
        for epoch in range(self.trainer.epochs):
            for part, batches in zip(parts, prepared, strict=True):
                optimizer.zero_grad()
                metrics, denominators = None, normaliser(part)
                for batch, old in batches:
                    output = self._loss(batch, old, denominators, gap if epoch == 0 else None)
                    metrics = output if metrics is None else metrics + output
                    tokens += batch.work.tokens
                    flops += passes * self.shape.flops(batch.work)
                norm = self._step(optimizer, metrics)
                if norm is None:
                    skipped += 1
                else:
                    taken.append((metrics, norm))
        return UpdateResult(_report(taken, self.trainer.clip_norm, gap), tokens, flops, skipped)

    def _batches(self, rows: Sequence[Row]) -> list[MicroBatch]:
        """Rows that have a gradient. Others may be left out of the work (never out of the denominators) while the
        loss is their advantage times something: without a KL term and an entropy bonus."""
        if self.objective.kl_beta == 0 and self.objective.entropy_bonus == 0:
            rows = [row for row in rows if row.advantage != 0]
        rows = [row for row in rows if row.valid and row.completion_ids]
        return [
            collate(part, self.pad_id).to(self.device) for part in split_rows(rows, self.trainer.tokens_per_microbatch)
        ]

    @torch.no_grad()
    def _old(self, batch: MicroBatch) -> Tensor:
        return self.forward(self.policy, batch).logprobs_BT

    def _loss(
        self, batch: MicroBatch, old_BT: Tensor | None, denominators: Normaliser, gap: _SamplerGap | None
    ) -> LossMetrics:
        stats = self.forward(self.policy, batch)
        with torch.no_grad():
            reference = None if self.reference is None else self.forward(self.reference, batch).logprobs_BT
        if gap is not None:
            gap.add(stats.logprobs_BT.detach() if old_BT is None else old_BT, batch)
        objective = self.objective
        output = policy_loss(
            stats.logprobs_BT,
            stats.logprobs_BT.detach() if old_BT is None else old_BT,  # one update: pi_old is pi, the ratio is 1
            batch.advantages_B.to(stats.logprobs_BT.dtype),
            batch.mask_BT,
            ratio=objective.ratio,
            surrogate=objective.surrogate,
            clip_low=objective.clip_low,
            clip_high=objective.clip_high,
            kl_beta=objective.kl_beta,
            kl_estimator=objective.kl_estimator,
            ref_logprobs_BT=reference,
            entropy_bonus=objective.entropy_bonus,
            entropies_BT=stats.entropies_BT,
            aggregation=objective.aggregation,
            constant_divisor=objective.constant_divisor,
            normaliser=denominators,
        )
        self.backward(output.loss)
        return output.metrics

    def _step(self, optimizer: Any, metrics: LossMetrics | None) -> float | None:
        """Clip and step; the gradient's norm before clipping, or None for an update that was skipped."""
        if metrics is None:
            return 0.0  # no row has a gradient: nothing to learn, and AdamW's momentum must not move the weights
        parameters = [p for p in self.policy.parameters() if p.requires_grad]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.trainer.clip_norm))
        loss = float(metrics.loss)
        if math.isfinite(norm) and math.isfinite(loss):
            optimizer.step()
            return norm
        optimizer.zero_grad()
        if self.trainer.on_nonfinite == "stop":
            raise NonFiniteError(f"the loss is {loss} and the gradient's norm {norm}")
        return None


@dataclass(slots=True)
class _SamplerGap:
    """How far the trainer's log-probs are from the sampler's, for the same tokens and weights."""

    total: float = 0.0
    largest: float = 0.0
    tokens: int = 0

    def add(self, logprobs_BT: Tensor, batch: MicroBatch) -> None:
        gap = (logprobs_BT - batch.sampler_logprobs_BT)[batch.mask_BT].abs().double()
        if gap.numel():
            total, largest = torch.stack([gap.sum(), gap.max()]).tolist()
            self.total, self.largest = self.total + total, max(self.largest, largest)
            self.tokens += gap.numel()


def _report(taken: list[tuple[LossMetrics | None, float]], clip_norm: float, gap: _SamplerGap) -> dict[str, float]:
    """Of the updates that were taken; one without any gradient has no loss metrics and a norm of 0."""
    report: dict[str, float] = {}
    measured = [metrics for metrics, _ in taken if metrics is not None]
    if measured:
        total = reduce(operator.add, measured)
        report = {f"train/{name}": value for name, value in total.finalise().items()}
        report["train/loss"] /= len(taken)  # losses add up over micro-batches, and are averaged over updates
    if taken:
        norms = [norm for _, norm in taken]
        report["train/gradient_norm"] = sum(norms) / len(norms)
        report["train/gradient_clipped_share"] = sum(norm > clip_norm for norm in norms) / len(norms)
    if gap.tokens:
        report["train/sampler_logprob_gap_mean"] = gap.total / gap.tokens
        report["train/sampler_logprob_gap_max"] = gap.largest
    return report
