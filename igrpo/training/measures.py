"""Metrics of a step that describe its samples and its device."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from igrpo.metrics.samples import step_metrics
from igrpo.training.dynamic_sampling import dynamic_metrics
from igrpo.training.rows import Overlong, mean_penalty
from igrpo.types import ANSWER_ROLES, Rollout, scored

log = logging.getLogger(__name__)


def sample_metrics(
    rollouts: Sequence[Rollout], *, variance_tolerance: float, refills: bool, overlong: Overlong | None
) -> dict[str, float]:
    """Return the sample metrics of a step. ``refills`` and ``overlong`` add those of optional features."""
    metrics = step_metrics(rollouts, variance_tolerance=variance_tolerance)
    if refills:
        metrics |= dynamic_metrics(rollouts)
    penalty = None if overlong is None else mean_penalty(rollouts, overlong)
    return metrics if penalty is None else metrics | {"train/overlong_penalty_mean": penalty}


def warn_without_scores(step: int, rollouts: Sequence[Rollout], reward: str) -> None:
    """Log a warning if no answer of a step has a score. Nothing is trained on such a step, and the run continues."""
    answers = [sample for rollout in rollouts for sample in rollout.of(*ANSWER_ROLES)]
    if not scored(answers):
        log.warning(
            "step %d: reward '%s' could score none of its %d completions: they have no reward and train nothing",
            step,
            reward,
            len(answers),
        )


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the peak memory that torch allocated on the device since the last call (all uses by this process)."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return {"memory/peak_gib": peak / 2**30}
