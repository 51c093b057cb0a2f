"""Metrics that a reward reports in addition to its scores, over all processes."""

from __future__ import annotations

from igrpo import distributed
from igrpo.rewards.base import Measured, Reward, added, measured_values


def forget_measures(reward: Reward) -> None:
    """Discard the counts so far, such as those of an evaluation between two steps."""
    if isinstance(reward, Measured):
        reward.step_measures()


def reward_metrics(reward: Reward) -> dict[str, float]:
    """Return the reward's metrics of the scored step, or none if it has none. Every process must call this."""
    if not isinstance(reward, Measured):
        return {}
    return measured_values(added(distributed.gather(dict(reward.step_measures()))))
