"""What a reward reports beside its scores, over all processes of a training."""

from __future__ import annotations

from igrpo import distributed
from igrpo.rewards.base import Measured, Reward, added, measured_values


def forget_measures(reward: Reward) -> None:
    """Drop what was counted so far, such as that of an evaluation between two steps."""
    if isinstance(reward, Measured):
        reward.step_measures()


def reward_metrics(reward: Reward) -> dict[str, float]:
    """Of the step that has been scored. Every process calls this at the same point; empty where nothing is measured."""
    if not isinstance(reward, Measured):
        return {}
    return measured_values(added(distributed.gather(dict(reward.step_measures()))))
