"""Per-step sample metrics, computed from rollouts (the trainer adds gradients, ratios, clipping, KL, tokens, seconds).

A statistic with an empty denominator (for example, no wrong draft was shown) is left out of a step, rather than
reported as NaN or 0. Verdicts come from ``Score.correct``; unknown ones (None) are excluded from the shares of right
and wrong answers. Rewards come from ``Score.value``.
"""

from __future__ import annotations

from collections.abc import Sequence

from igrpo.metrics.drafts import draft_metrics
from igrpo.metrics.roles import role_metrics
from igrpo.metrics.trained import group_metrics, trained_metrics
from igrpo.types import Rollout


def step_metrics(rollouts_S: Sequence[Rollout], *, variance_tolerance: float) -> dict[str, float]:
    """Return the metrics of a step that can be computed from its rollouts; `igrpo.metrics.definitions` defines them.

    Args:
        rollouts_S: the S rollouts of one cycle.
        variance_tolerance: rewards of a group count as equal up to this difference, which is relative for rewards
            above 1.

    Raises:
        ValueError: no rollouts.
    """
    if not rollouts_S:
        raise ValueError("step_metrics got no rollouts: a step has at least one question")
    return {
        **role_metrics(rollouts_S),
        **draft_metrics(rollouts_S),
        **trained_metrics(rollouts_S),
        **group_metrics(rollouts_S, tolerance=variance_tolerance),
        "budget/samples_per_question": sum(len(rollout.samples) for rollout in rollouts_S) / len(rollouts_S),
    }
