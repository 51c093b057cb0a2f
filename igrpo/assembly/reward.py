"""The reward."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from igrpo.config import schema
from igrpo.rewards.base import Reward
from igrpo.rewards.format import FormatReward
from igrpo.rewards.verifier import MathVerifier
from igrpo.rewards.weighted import WeightedSum


def build_reward(reward: schema.RewardConfig, incident_dir: Path | None) -> Reward:
    """A reward, or a weighted sum of them. Worker processes start with the first answer that needs one."""
    if isinstance(reward, schema.WeightedConfig):
        return WeightedSum(
            [(name, build_reward(part.reward, incident_dir), part.weight) for name, part in reward.parts.items()]
        )
    if isinstance(reward, schema.FormatConfig):
        return FormatReward()
    if isinstance(reward, schema.PythonRewardConfig):
        return _user_reward(reward)
    return MathVerifier(**reward.model_dump(exclude={"name"}), incident_dir=incident_dir)


def _user_reward(reward: schema.PythonRewardConfig) -> Reward:
    """A reward of the user's own: ``reward.target`` is ``module:Class``, found from the working directory too."""
    module, _, name = reward.target.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        made = vars(import_module(module))[name](**reward.arguments)
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"reward.target={reward.target!r} cannot be made ({type(error).__name__}: {error}); give it as "
            "module:Class, with the module in the working directory or installed, and what it takes as reward.arguments"
        ) from error
    if not isinstance(made, Reward):
        message = (
            f"reward.target={reward.target!r} is no Reward: it needs name, score and close (igrpo/rewards/base.py)"
        )
        raise ValueError(message)  # noqa: TRY004 (a user's setting, not a caller's wrong type)
    return made
