"""Optimizer steps of one rollout cycle, and their metrics."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from igrpo.distributed import gather, positions, world
from igrpo.losses import LossMetrics, MismatchMetrics, Normaliser, correction_weights, policy_loss
from igrpo.models.flops import FORWARD_AND_BACKWARD, ModelShape, Work
from igrpo.models.weights import is_sharded
from igrpo.settings.correction import CorrectionConfig
from igrpo.settings.objective import ObjectiveConfig
from igrpo.settings.trainer import TrainerConfig
from igrpo.settings.transfer import ShapeConfig, TransferConfig, TruncateConfig
from igrpo.training.batching import NOTHING, MicroBatch, Row, collate, normaliser, split_rows
from igrpo.training.forward import PolicyForward
from igrpo.training.gradients import add_up, clip


class NonFiniteError(RuntimeError):
    """Raised when a loss or gradient is NaN or infinite and ``trainer.on_nonfinite`` is ``stop``."""


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """Metrics and cost of the updates of one rollout cycle.

    ``skipped`` counts the updates that were left out because they were not finite. Their tokens and operations are
    included in ``trained_tokens`` and ``flops``.
    """

    metrics: dict[str, float]
    trained_tokens: int
    flops: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Updater:
    """Performs updates: gradient accumulation over micro-batches, clipping, one optimizer step per minibatch.

    Args:
        forward: computes log-probs.
        backward: ``loss -> None``; Lightning's ``manual_backward``.
        shape: shape of the policy (and of the reference), used to count operations.
        reference: frozen policy of the KL term; None if beta is 0.
        transfer: treatment of rows that were sampled from another prompt; None if there are none.
        pad_id: id of the padding token.
    """

    policy: Any
    reference: Any | None
    objective: ObjectiveConfig
    correction: CorrectionConfig
    transfer: TransferConfig | None
    trainer: TrainerConfig
    forward: PolicyForward
    backward: Callable[[Tensor], None]
    shape: ModelShape
    pad_id: int
    device: torch.device

    def run(self, questions_S: Sequence[Sequence[Row]], optimizer: Any) -> UpdateResult:
        """Update on the rows of S questions, ``trainer.epochs`` times in ``trainer.minibatches`` parts.

        With several processes, ``questions_S`` are the questions of this process (see `distributed.share`).
        Denominators, gradients and metrics are computed over all questions; tokens and operations are those of this
        process.

        Raises:
            NonFiniteError: see ``trainer.on_nonfinite``; the weights are those before that update.
        """
        count = self.trainer.minibatches
        total, position_S = positions(len(questions_S))
        # parts are blocks of adjacent questions, so that each process has a share of every part
        part_S = [position * count // total for position in position_S]
        parts = [
            [row for part, rows in zip(part_S, questions_S, strict=True) if part == i for row in rows]
            for i in range(count)
        ]
        several = count * self.trainer.epochs > 1
        prepared = [[(batch, self._old(batch) if several else None) for batch in self._batches(part)] for part in parts]
        taken: list[tuple[LossMetrics | None, float]] = []
        tokens, skipped = 0, 0
        flops = sum(self.shape.flops(batch.work) for batches in prepared for batch, old in batches if old is not None)
        passes = FORWARD_AND_BACKWARD + (self.reference is not None)
        gaps = _Gaps(MismatchMetrics.empty(self.device), MismatchMetrics.empty(self.device))
        for epoch in range(self.trainer.epochs):
            for part, batches in zip(parts, prepared, strict=True):
                optimizer.zero_grad()
                metrics, denominators = None, reduce(operator.add, gather(normaliser(part)))
                for batch, old in batches:
                    output, gap = self._loss(batch, old, denominators)
                    metrics = output if metrics is None else metrics + output
                    gaps = gaps + gap if epoch == 0 else gaps
                    tokens += batch.work.tokens
                    flops += passes * self.shape.flops(batch.work)
                metrics = _everyones(metrics)
                norm = self._step(optimizer, metrics)
                if norm is None:
                    skipped += 1
                else:
                    taken.append((metrics, norm))
        gaps = gaps if world() == 1 else reduce(operator.add, gather(gaps.to("cpu")))
        return UpdateResult(_report(taken, self.trainer.clip_norm, gaps), tokens, flops, skipped)

    def _batches(self, rows: Sequence[Row]) -> list[MicroBatch]:
        """Return the micro-batches of the rows that have a gradient.

        Without a KL term and an entropy bonus, the loss of a row is proportional to its advantage. Rows of advantage 0
        are then left out here; they still count in the denominators.
        """
        if self.objective.kl_beta == 0 and self.objective.entropy_bonus == 0:
            rows = [row for row in rows if row.advantage != 0]
        rows = [row for row in rows if row.valid and row.completion_ids]
        batches = [collate(part, self.pad_id) for part in split_rows(rows, self.trainer.tokens_per_microbatch)]
        if is_sharded(self.policy.parameters()):  # each pass gathers weights: all processes must make the same number
            passes = max(gather(len(batches)))
            batches += [replace(collate([NOTHING], self.pad_id), work=Work())] * (passes - len(batches))
        return [batch.to(self.device) for batch in batches]

    @torch.no_grad()
    def _old(self, batch: MicroBatch) -> Tensor:
        return self.forward(self.policy, batch).logprobs_BT

    def _loss(self, batch: MicroBatch, old_BT: Tensor | None, denominators: Normaliser) -> tuple[LossMetrics, _Gaps]:
        """Add the gradient of a micro-batch. ``old_BT`` is None for a single update, where pi_old is pi (ratio 1)."""
        stats = self.forward(self.policy, batch)
        old_BT = stats.logprobs_BT.detach() if old_BT is None else old_BT
        with torch.no_grad():
            reference = None if self.reference is None else self.forward(self.reference, batch).logprobs_BT
        weights, gaps = self._weights(batch, old_BT)
        objective, shape = self.objective, self.transfer if isinstance(self.transfer, ShapeConfig) else None
        output = policy_loss(
            stats.logprobs_BT,
            old_BT,
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
            weights_BT=weights,
            shaped_B=None if shape is None else batch.transferred_B,
            shaping_gamma=None if shape is None else shape.gamma,
        )
        # fully_shard averages over processes, but the denominators are already summed over them
        self.backward(output.loss * world() if is_sharded(self.policy.parameters()) else output.loss)
        return output.metrics, gaps

    def _weights(self, batch: MicroBatch, old_BT: Tensor) -> tuple[Tensor | None, _Gaps]:
        """Return the importance weights (None: all are 1) and the gaps between sampler and trainer.

        Rows sampled from the trained prompt are weighted by ``correction``. Rows sampled from another prompt are
        weighted by ``transfer`` if it truncates; if it shapes, their weight is 1.
        """
        sampler_BT, moved_B1 = batch.sampler_logprobs_BT, batch.transferred_B.unsqueeze(-1)
        own = correction_weights(old_BT, sampler_BT, batch.mask_BT & ~moved_B1, **self.correction.model_dump())
        if self.transfer is None:
            assert not bool(moved_B1.any()), "rows from another prompt, and nothing says how to weigh them"
            none = MismatchMetrics.empty(self.device)
            return (None if self.correction.level == "none" else own.weights_BT), _Gaps(own.metrics, none)
        truncate = self.transfer if isinstance(self.transfer, TruncateConfig) else None
        other = correction_weights(
            old_BT,
            sampler_BT,
            batch.mask_BT & moved_B1,
            level="none" if truncate is None else truncate.level,
            bound="truncate",
            low=None,
            high=None if truncate is None else truncate.cap,
        )
        return own.weights_BT + other.weights_BT, _Gaps(own.metrics, other.metrics)

    def _step(self, optimizer: Any, metrics: LossMetrics | None) -> float | None:
        """Clip and step; return the gradient norm before clipping, or None if the update was skipped."""
        if metrics is None:
            return 0.0  # no row has a gradient: skip the step, or AdamW's momentum would move the weights
        parameters = [p for p in self.policy.parameters() if p.requires_grad]
        add_up(parameters)
        norm = clip(parameters, self.trainer.clip_norm)
        loss = float(metrics.loss)
        if math.isfinite(norm) and math.isfinite(loss):
            optimizer.step()
            return norm
        optimizer.zero_grad()
        if self.trainer.on_nonfinite == "stop":
            raise NonFiniteError(f"the loss is {loss} and the gradient's norm {norm}")
        return None


@dataclass(frozen=True, slots=True)
class _Gaps:
    """Mismatch between sampler and trainer, for rows of the sampled prompt and for rows of another prompt."""

    own: MismatchMetrics
    transferred: MismatchMetrics

    def __add__(self, other: _Gaps) -> _Gaps:
        return _Gaps(self.own + other.own, self.transferred + other.transferred)

    def to(self, device: str) -> _Gaps:
        return _Gaps(self.own.to(device), self.transferred.to(device))

    def report(self) -> dict[str, float]:
        own, moved = self.own.finalise(), self.transferred.finalise()
        names = {
            "logprob_gap_mean": "sampler_logprob_gap_mean",
            "kl": "sampler_kl_k3",
            "ess": "sampler_ess",
            "capped_share": "correction_share_high",
        }
        found = {f"train/{name}": value for name, value in own.items()}
        return found | {f"transferred/{name}": moved[key] for name, key in names.items() if moved}


def _report(taken: list[tuple[LossMetrics | None, float]], clip_norm: float, gaps: _Gaps) -> dict[str, float]:
    """Return the metrics of the performed updates. An update without gradient has no loss metrics and norm 0."""
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
    return report | gaps.report()


def _everyones(mine: LossMetrics | None) -> LossMetrics | None:
    """Return the sum of all processes' metrics, or None if no process has a row."""
    if world() == 1:
        return mine
    found = [metrics for metrics in gather(None if mine is None else mine.to("cpu")) if metrics is not None]
    return reduce(operator.add, found) if found else None
