"""Factory of the reward."""

from __future__ import annotations

import inspect
import sys
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from igrpo.config.schema import RunConfig
from igrpo.rewards.base import Reward
from igrpo.rewards.format import FormatReward
from igrpo.rewards.function import FunctionReward
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.rewards.multiple_choice import MultipleChoiceReward
from igrpo.rewards.weighted import WeightedSum
from igrpo.settings.judge import GenerativeJudgeConfig
from igrpo.settings.reward import (
    FormatConfig,
    MultipleChoiceConfig,
    PythonRewardConfig,
    RewardConfig,
    WeightedConfig,
    reward_parts,
)
from igrpo.settings.verifier import MathVerifyConfig


def build_reward(
    reward: RewardConfig,
    incident_dir: Path | None = None,
    ledger: Path | None = None,
    *,
    setting: str = "reward",
    today: date | None = None,
) -> Reward:
    """Build a reward, or a weighted sum of rewards. Worker processes start with the first answer that needs one.

    Args:
        incident_dir: folder for answers on which the verifier had no verdict (None: they are not kept).
        ledger: file of a judge's costs (None: they are counted in memory).
        setting: dotted path of these settings, for messages.
        today: date passed to the chat template of a judge in this process (None: the current date).
    """
    if isinstance(reward, WeightedConfig):
        return WeightedSum(
            [
                (name, build_reward(part.reward, incident_dir, ledger, setting=path, today=today), part.weight)
                for (name, part), path in zip(reward.parts.items(), reward_parts(reward, setting), strict=True)
            ]
        )
    if isinstance(reward, GenerativeJudgeConfig):
        from igrpo.assembly.judge import build_judge

        verifier = _verifier(reward.verifier, incident_dir)
        return build_judge(reward, verifier, ledger, setting=setting, today=today)
    if isinstance(reward, FormatConfig):
        return FormatReward()
    if isinstance(reward, MultipleChoiceConfig):
        return MultipleChoiceReward(reward.answer_format)
    if isinstance(reward, PythonRewardConfig):
        return _user_reward(reward, setting)
    return _verifier(reward, incident_dir)


def build_benchmark_rewards(
    config: RunConfig,
    reward: Reward,
    incident_dir: Path | None = None,
    ledger: Path | None = None,
    *,
    today: date | None = None,
) -> dict[str, Reward]:
    """Build the rewards of the benchmarks that have one of their own, by the benchmark's name.

    Rewards with equal settings are one object, which may be ``reward``. The caller closes all of them.

    Args:
        reward: the reward of the run.
        incident_dir, ledger, today: as for `build_reward`.
    """
    built: list[tuple[RewardConfig, Reward]] = [(config.reward, reward)]
    found = {}
    for name, benchmark in config.evaluation.benchmarks.items():
        if benchmark.reward is None:
            continue
        same = next((made for settings, made in built if settings == benchmark.reward), None)
        if same is None:
            setting = f"evaluation.benchmarks.{name}.reward"
            same = build_reward(benchmark.reward, incident_dir, ledger, setting=setting, today=today)
            built.append((benchmark.reward, same))
        found[name] = same
    return found


def _verifier(settings: MathVerifyConfig, incident_dir: Path | None) -> MathVerifier:
    return MathVerifier(**settings.model_dump(exclude={"name"}), incident_dir=incident_dir)


def _user_reward(reward: PythonRewardConfig, setting: str) -> Reward:
    """Build the user's reward: the class or function ``reward.target``, also imported from the working directory."""
    module, _, name = reward.target.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = vars(import_module(module))[name]
        made = found(**reward.arguments) if inspect.isclass(found) else _function_reward(found, name, reward)
    except Exception as error:  # whatever a user's module raises
        raise ValueError(
            f"{setting}.target={reward.target!r} cannot be made ({type(error).__name__}: {error}); give it as "
            "module:Class or module:function, with the module in the working directory or installed. A class takes "
            f"{setting}.arguments; a function takes (question, completions), and these as keywords"
        ) from error
    if not isinstance(made, Reward):
        raise ValueError(  # noqa: TRY004 (a user's setting, not a caller's wrong type)
            f"{setting}.target={reward.target!r} is no Reward: it needs name, score and close (igrpo/rewards/base.py)"
        )
    return made


def _function_reward(function: Any, name: str, reward: PythonRewardConfig) -> FunctionReward:
    inspect.signature(function).bind("question", "completions", **reward.arguments)
    return FunctionReward(partial(function, **reward.arguments), name=name, correct_above=reward.correct_above)
