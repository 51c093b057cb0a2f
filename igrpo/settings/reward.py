"""Settings of rewards."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from igrpo.settings.base import Section
from igrpo.settings.judge import JUDGE_SERVICE, JudgeConfig, JudgeLocalConfig, JudgeVllmConfig
from igrpo.settings.verifier import MathVerifyConfig

#: All settings of rewards that do not change scores: the service of a judge, and settings that only affect speed.
NOT_SCORING = (*JUDGE_SERVICE, "workers", "cache_size", "device", "max_batch_rows", "gpu_memory_utilization")


class MultipleChoiceConfig(Section):
    """Settings of the reward for questions with lettered options."""

    name: Literal["multiple_choice"]
    """Kind of reward: 1 if the answer names the right option, by its letter or its text, and no other; otherwise 0."""

    scores_all: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    answer_format: tuple[Literal["boxed", "answer_tag", "last_line"], ...] = Field(strict=False, min_length=1)
    """Where the answer is: in a box (`boxed`), in `<answer>` tags (`answer_tag`), or in a statement such as `Answer: C`
    or on the last line (`last_line`). With several forms, the last answer counts."""


class FormatConfig(Section):
    """Settings of the format reward, of which there are none."""

    name: Literal["format"]
    """Kind of reward: 1 if the completion is `<think>...</think><answer>...</answer>`, each once, otherwise 0."""

    scores_all: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


class PythonRewardConfig(Section):
    """Settings of a reward written by the user.

    Runs from before ``correct_above`` existed have none.
    """

    name: Literal["python"]
    """Kind of reward: a function or a class of your own."""

    scores_all: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False
    target: str = Field(pattern=r"^[\w.]+:\w+$")
    """The function or class, as module:name. The module may be a file in the working directory."""

    arguments: dict[str, Any]
    """Keyword arguments of the class, or of each call of the function, such as `+reward.arguments.scale=2`."""

    correct_above: float = 0.5
    """Functions only: a value above it counts as right in every accuracy. A class says itself what is right."""


SingleRewardConfig = Annotated[
    MathVerifyConfig
    | MultipleChoiceConfig
    | FormatConfig
    | PythonRewardConfig
    | JudgeConfig
    | JudgeLocalConfig
    | JudgeVllmConfig,
    Field(discriminator="name"),
]


class WeightedPart(Section):
    """A summand of a weighted sum."""

    weight: float
    """Factor of this part in the sum."""

    reward: SingleRewardConfig
    """The reward of this part: its `name` and the settings of that kind."""


class WeightedConfig(Section):
    """A weighted sum of rewards."""

    name: Literal["weighted"]
    """Kind of reward: the weighted sum of several rewards."""

    parts: dict[str, WeightedPart] = Field(min_length=1)
    """The summands by name."""

    @property
    def scores_all(self) -> bool:
        return all(part.reward.scores_all for part in self.parts.values())


RewardConfig = Annotated[
    SingleRewardConfig | WeightedConfig,
    Field(discriminator="name"),
]


def reward_parts(reward: RewardConfig, setting: str = "reward") -> dict[str, SingleRewardConfig]:
    """Return the reward, or the parts of a weighted sum, by setting path: ``reward``, ``reward.parts.NAME.reward``.

    ``setting`` is the path of the reward itself.
    """
    if isinstance(reward, WeightedConfig):
        return {f"{setting}.parts.{name}.reward": part.reward for name, part in reward.parts.items()}
    return {setting: reward}


def reads_options(reward: RewardConfig) -> bool:
    """True if the reward, or a part of it, may tell the options of a question from each other by more than a letter."""
    return any(not isinstance(part, MathVerifyConfig | FormatConfig) for part in reward_parts(reward).values())
