"""Rewards."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.config.parts.base import Section
from igrpo.config.parts.rollout import VllmEngineConfig

#: Settings of a judge that say where it is, how it is asked and what it may cost: none of them changes a score.
JUDGE_SERVICE = (
    "base_url",
    "api_key_env",
    "concurrency",
    "timeout_s",
    "retries",
    "max_wait_s",
    "cache",
    "input_price",
    "output_price",
    "max_cost",
)

#: These, and other settings of a reward that change its speed alone.
NOT_SCORING = (*JUDGE_SERVICE, "workers", "cache_size", "device", "max_batch_rows", "gpu_memory_utilization")


class MathVerifyConfig(Section):
    """``scores_all``, of every reward: it has a score for each completion, so that none leaves its group."""

    name: Literal["math_verify"]
    scores_all: ClassVar[bool] = True
    answer_format: tuple[Literal["boxed", "answer_tag", "last_line"], ...] = Field(strict=False, min_length=1)
    percent: Literal["strict", "number", "value", "any"]
    base_subscript: Literal["required", "optional"]
    unevaluated: Literal["rejected", "accepted"]
    workers: PositiveInt
    cpu_limit_s: PositiveFloat
    wall_limit_s: PositiveFloat
    memory_limit_mb: PositiveInt
    max_answer_chars: PositiveInt
    cache_size: PositiveInt


class FormatConfig(Section):
    name: Literal["format"]
    scores_all: ClassVar[bool] = True


class PythonRewardConfig(Section):
    """``correct_above`` is for a function: a value above it counts as right. (Runs of before it have none.)"""

    name: Literal["python"]
    scores_all: ClassVar[bool] = False
    target: str = Field(pattern=r"^[\w.]+:\w+$")
    arguments: dict[str, Any]
    correct_above: float = 0.5


class JudgePromptConfig(Section):
    system: str
    user: str
    reference: str


class GenerativeJudgeConfig(Section):
    """What every generative judge has.

    ``verdict``: whose word on right and wrong counts, the judge's (``threshold`` or more is right) or the rule's.
    ``partial_credit`` makes the rule a gate: right by rule is 1, anything else that share of the judge's score.
    ``cache``: a file, ``auto`` (one in the user's cache directory), or None.
    """

    model: str = Field(min_length=1)
    temperature: NonNegativeFloat | None
    max_tokens: PositiveInt
    votes: PositiveInt
    threshold: Annotated[float, Field(gt=0, le=1)]
    verdict: Literal["judge", "rule"]
    partial_credit: Annotated[float, Field(gt=0, lt=1)] | None
    use_reference: bool
    max_solution_chars: PositiveInt
    cache: str | None
    prompt: JudgePromptConfig
    verifier: MathVerifyConfig
    scores_all: ClassVar[bool] = False


class JudgeConfig(GenerativeJudgeConfig):
    """A judge behind OpenAI's chat API. Prices are of a million tokens, in the currency of ``max_cost`` (None: no
    limit). ``temperature`` None is left to the server."""

    name: Literal["judge"]
    base_url: str = Field(pattern=r"^https?://[^/\s]+")
    api_key_env: str = Field(pattern=r"^\w+$")
    max_tokens_key: Literal["max_completion_tokens", "max_tokens"]
    structured: Literal["auto", "json_schema", "off"]
    extra_body: dict[str, Any]
    concurrency: PositiveInt
    timeout_s: PositiveFloat
    retries: NonNegativeInt
    max_wait_s: PositiveFloat
    input_price: NonNegativeFloat
    output_price: NonNegativeFloat
    max_cost: PositiveFloat | None


class EngineJudgeConfig(GenerativeJudgeConfig):
    """A judge in the trainer's process: ``model`` is a Hugging Face directory, or a name on the hub."""

    revision: str | None
    trust_remote_code: bool
    temperature: NonNegativeFloat


class JudgeLocalConfig(EngineJudgeConfig):
    """By the local engine."""

    name: Literal["judge_local"]
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Literal["auto", "cpu", "cuda"]
    max_batch_rows: PositiveInt


class JudgeVllmConfig(EngineJudgeConfig, VllmEngineConfig):
    """By vLLM. ``dtype`` auto is the model's own, ``max_model_len`` None its longest context."""

    name: Literal["judge_vllm"]
    structured: Literal["json_schema", "off"]


SingleRewardConfig = Annotated[
    MathVerifyConfig | FormatConfig | PythonRewardConfig | JudgeConfig | JudgeLocalConfig | JudgeVllmConfig,
    Field(discriminator="name"),
]


class WeightedPart(Section):
    weight: float
    reward: SingleRewardConfig


class WeightedConfig(Section):
    name: Literal["weighted"]
    parts: dict[str, WeightedPart] = Field(min_length=1)

    @property
    def scores_all(self) -> bool:
        return all(part.reward.scores_all for part in self.parts.values())


RewardConfig = Annotated[
    SingleRewardConfig | WeightedConfig,
    Field(discriminator="name"),
]


def reward_parts(reward: RewardConfig) -> dict[str, SingleRewardConfig]:
    """The reward, or what it is the sum of, by the path of its settings: ``reward``, ``reward.parts.NAME.reward``."""
    if isinstance(reward, WeightedConfig):
        return {f"reward.parts.{name}.reward": part.reward for name, part in reward.parts.items()}
    return {"reward": reward}
