"""Metrics of the optimizer steps of one rollout cycle, over all micro-batches and processes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

from igrpo.distributed import gather, world
from igrpo.losses import Accumulator, LossMetrics, MismatchMetrics

A = TypeVar("A", bound=Accumulator)

#: Metrics of completions that were sampled from another prompt than the trained one, and their names in the mismatch.
_CROSS_PROMPT = {
    "transferred/logprob_gap_mean": "sampler_logprob_gap_mean",
    "transferred/kl": "sampler_kl_k3",
    "transferred/ess": "sampler_ess",
    "transferred/capped_share": "correction_share_high",
}


@dataclass(frozen=True, slots=True)
class OptimizerStep:
    """A step that was performed: its loss metrics (None without a gradient) and its gradient norm before clipping."""

    metrics: LossMetrics | None
    norm: float


def total(mine: Sequence[A]) -> A | None:
    """Return the sum over the micro-batches of all processes, or None if there are none. All processes must call it."""
    summed = reduce(operator.add, mine) if mine else None
    if world() == 1:
        return summed
    found = [metrics for metrics in gather(None if summed is None else summed.to("cpu")) if metrics is not None]
    return reduce(operator.add, found) if found else None


def update_metrics(
    steps: Sequence[OptimizerStep],
    clip_norm: float,
    sampler: MismatchMetrics | None,
    cross_prompt: MismatchMetrics | None,
) -> dict[str, float]:
    """Return the metrics of the performed steps and of the mismatches. A step without gradient has norm 0."""
    report: dict[str, float] = {}
    losses = [step.metrics for step in steps if step.metrics is not None]
    if losses:
        report = {f"train/{name}": value for name, value in reduce(operator.add, losses).finalise().items()}
        report["train/loss"] /= len(steps)  # losses add up over micro-batches, and are averaged over steps
    if steps:
        norms = [step.norm for step in steps]
        report["train/gradient_norm"] = sum(norms) / len(norms)
        report["train/gradient_clipped_share"] = sum(norm > clip_norm for norm in norms) / len(norms)
    if sampler is not None:
        report |= {f"train/{name}": value for name, value in sampler.finalise().items()}
    if cross_prompt is not None and (moved := cross_prompt.finalise()):
        report |= {name: moved[key] for name, key in _CROSS_PROMPT.items()}
    return report
