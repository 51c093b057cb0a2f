"""Metrics of a step that describe its samples and its device."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from igrpo.metrics.samples import step_metrics
from igrpo.training.batching import Overlong, mean_penalty
from igrpo.training.dynamic_sampling import dynamic_metrics
from igrpo.types import Trace

log = logging.getLogger(__name__)


def sample_metrics(
    traces: Sequence[Trace], *, variance_tolerance: float, refills: bool, overlong: Overlong | None
) -> dict[str, float]:
    """Return the sample metrics of a step. ``refills`` and ``overlong`` add those of optional features."""
    metrics = step_metrics(traces, variance_tolerance=variance_tolerance)
    metrics["budget/samples_per_question"] = sum(trace.sampled for trace in traces) / len(traces)
    if refills:
        metrics |= dynamic_metrics(traces)
    penalty = None if overlong is None else mean_penalty(traces, overlong)
    return metrics if penalty is None else metrics | {"train/overlong_penalty_mean": penalty}


def warn_without_scores(step: int, traces: Sequence[Trace], reward: str) -> None:
    """Log a warning if no answer of a step has a score. Nothing is trained on such a step, and the run continues."""
    answers = [group for trace in traces for group in trace.groups if group.stage != 3]
    if not any(group.scores for group in answers):
        log.warning(
            "step %d: reward '%s' could score none of its %d completions: they have no reward and train nothing",
            step,
            reward,
            sum(len(group.unscored) for group in answers),
        )


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the peak memory that torch allocated on the device since the last call (all uses by this process)."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return {"memory/peak_gib": peak / 2**30}
