"""Optimizer steps of one rollout cycle."""

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
from igrpo.losses import LossMetrics, LossOutput, LossTensors, Normaliser, Objective
from igrpo.models.flops import FORWARD_AND_BACKWARD, ModelShape, Work
from igrpo.models.weights import is_sharded
from igrpo.phases import phase
from igrpo.settings.trainer import TrainerConfig
from igrpo.training.batching import MicroBatch, micro_batches
from igrpo.training.forward import Entropies, PolicyForward
from igrpo.training.gradients import clip, sum_over_replicas
from igrpo.training.rows import DUMMY_ROW, Row, normaliser
from igrpo.training.update_metrics import OptimizerStep, total, update_metrics


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
        pad_id: id of the padding token.
        packed: pack the rows of a micro-batch into one sequence with shared prefixes (`igrpo.models.prefix_tree`).
    """

    policy: Any
    reference: Any | None
    objective: Objective
    trainer: TrainerConfig
    forward: PolicyForward
    backward: Callable[[Tensor], None]
    shape: ModelShape
    pad_id: int
    packed: bool
    device: torch.device

    def run(self, questions_S: Sequence[Sequence[Row]], optimizer: Any, entropy_coefficient: float) -> UpdateResult:
        """Update on the rows of S questions, ``trainer.epochs`` times in ``trainer.minibatches`` parts.

        With several processes, ``questions_S`` are the questions of this process (see `distributed.share`).
        Denominators, gradients and metrics are computed over all questions; tokens and operations are those of this
        process. ``entropy_coefficient`` is the weight of the entropy bonus.

        Raises:
            NonFiniteError: see ``trainer.on_nonfinite``; the weights are those before that update.
        """
        epochs, count = self.trainer.epochs, self.trainer.minibatches
        uses_all = self.objective.uses_zero_advantages(entropy_coefficient)
        parts = _parts(questions_S, count)
        several = epochs * count > 1
        prepared = [
            [(batch, self._old(batch) if several else None) for batch in self._batches(part, uses_all=uses_all)]
            for part in parts
        ]
        steps: list[OptimizerStep] = []
        measured: list[LossOutput] = []
        skipped = 0
        for epoch in range(epochs):
            for part, batches in zip(parts, prepared, strict=True):
                optimizer.zero_grad()
                denominators = reduce(operator.add, gather(normaliser(part)))
                outputs = [self._loss(batch, old_BT, denominators, entropy_coefficient) for batch, old_BT in batches]
                measured += outputs if epoch == 0 else []  # later epochs have the same mismatch
                metrics = total([output.metrics for output in outputs])
                with phase("optimizer"):
                    norm = self._step(optimizer, metrics)
                if norm is None:
                    skipped += 1
                else:
                    steps.append(OptimizerStep(metrics, norm))
        optimizer.zero_grad()  # the next rollout has their memory
        sampler = total([output.sampler for output in measured])
        cross_prompt = None
        if self.objective.cross_prompt is not None:
            cross_prompt = total([output.cross_prompt for output in measured if output.cross_prompt is not None])
        works = [batch.work for batches in prepared for batch, _ in batches]
        passes = epochs * (FORWARD_AND_BACKWARD + (self.reference is not None)) + several
        return UpdateResult(
            metrics=update_metrics(steps, self.trainer.clip_norm, sampler, cross_prompt),
            trained_tokens=epochs * sum(work.tokens for work in works),
            flops=passes * sum(self.shape.flops(work) for work in works),
            skipped=skipped,
        )

    def _batches(self, rows: Sequence[Row], *, uses_all: bool) -> list[MicroBatch]:
        """Return the micro-batches of the rows that have a gradient.

        Unless ``uses_all``, rows of advantage 0 have none. They are left out, and still count in the denominators.
        """
        if not uses_all:
            rows = [row for row in rows if row.advantage != 0]
        rows = [row for row in rows if row.valid and row.completion_ids]
        known = self.objective.cross_prompt is not None or not any(row.cross_prompt for row in rows)
        assert known, "completions of another prompt, and no settings for them"
        budget = self.trainer.tokens_per_microbatch
        batches = micro_batches(rows, budget, self.pad_id, packed=self.packed)
        if is_sharded(self.policy.parameters()):  # each pass gathers weights: all processes must make the same number
            passes = max(gather(len(batches)))
            (dummy,) = micro_batches([DUMMY_ROW], budget, self.pad_id, packed=self.packed)
            batches += [replace(dummy, work=Work())] * (passes - len(batches))
        return [batch.to(self.device) for batch in batches]

    @torch.no_grad()
    def _old(self, batch: MicroBatch) -> Tensor:
        with phase("old_logprobs"):
            return self.forward(self.policy, batch).logprobs_BT

    def _reference_logprobs(self, batch: MicroBatch) -> Tensor:
        with phase("reference"):
            return self.forward(self.reference, batch).logprobs_BT

    def _loss(
        self, batch: MicroBatch, old_BT: Tensor | None, denominators: Normaliser, entropy_coefficient: float
    ) -> LossOutput:
        """Add the gradient of a micro-batch, and return its loss without the graph.

        ``old_BT`` is None for a single update, where pi_old is pi (ratio 1).
        """
        entropies: Entropies = "gradient" if entropy_coefficient != 0 else "none"
        with phase("forward"):
            stats = self.forward(self.policy, batch, entropies)
        with torch.no_grad():
            reference = None if self.reference is None else self._reference_logprobs(batch)
        tensors = LossTensors(
            logprobs_BT=stats.logprobs_BT,
            old_logprobs_BT=stats.logprobs_BT.detach() if old_BT is None else old_BT,
            sampler_logprobs_BT=batch.sampler_logprobs_BT,
            advantages=batch.advantages_B.to(stats.logprobs_BT.dtype),
            mask_BT=batch.mask_BT,
            cross_prompt_B=batch.cross_prompt_B,
            ref_logprobs_BT=reference,
            entropies_BT=stats.entropies_BT,
        )
        output = self.objective(tensors, denominators, entropy_coefficient)
        # fully_shard averages over processes, but the denominators are already summed over them
        with phase("backward"):
            self.backward(output.loss * world() if is_sharded(self.policy.parameters()) else output.loss)
        return replace(output, loss=output.loss.detach())

    def _step(self, optimizer: Any, metrics: LossMetrics | None) -> float | None:
        """Clip and step; return the gradient norm before clipping, or None if the update was skipped."""
        if metrics is None:
            return 0.0  # no row has a gradient: skip the step, or AdamW's momentum would move the weights
        parameters = [p for p in self.policy.parameters() if p.requires_grad]
        sum_over_replicas(parameters)
        norm = clip(parameters, self.trainer.clip_norm)
        loss = float(metrics.loss)
        if math.isfinite(norm) and math.isfinite(loss):
            optimizer.step()
            return norm
        optimizer.zero_grad()
        if self.trainer.on_nonfinite == "stop":
            raise NonFiniteError(f"the loss is {loss} and the gradient's norm {norm}")
        return None


def _parts(questions_S: Sequence[Sequence[Row]], count: int) -> list[list[Row]]:
    """Split this process's questions into minibatches: blocks of adjacent questions of all processes.

    So each process has a share of every minibatch.
    """
    questions, position_S = positions(len(questions_S))
    parts: list[list[Row]] = [[] for _ in range(count)]
    for position, rows in zip(position_S, questions_S, strict=True):
        parts[position * count // questions] += rows
    return parts
