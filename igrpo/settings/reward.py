"""Settings of rewards."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section
from igrpo.settings.rollout import VllmEngineConfig

#: Settings of a judge for its address, its requests and its cost limit. None of them changes a score.
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

#: All settings of rewards that do not change scores: those above, and settings that only affect speed.
NOT_SCORING = (*JUDGE_SERVICE, "workers", "cache_size", "device", "max_batch_rows", "gpu_memory_utilization")


class MathVerifyConfig(Section):
    """Settings of the rule-based verifier.

    Of every reward: ``scores_all`` is True if each completion gets a score, so that none leaves its group, and
    ``repeatable`` if the same completion gets the same score in every run.
    """

    name: Literal["math_verify"]
    scores_all: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
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
    repeatable: ClassVar[bool] = True


class PythonRewardConfig(Section):
    """Settings of a reward written by the user.

    ``correct_above`` applies to functions: a value above it counts as right. (Runs from before it existed have none.)
    """

    name: Literal["python"]
    scores_all: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False
    target: str = Field(pattern=r"^[\w.]+:\w+$")
    arguments: dict[str, Any]
    correct_above: float = 0.5


class JudgePromptConfig(Section):
    system: str
    user: str
    reference: str


class GenerativeJudgeConfig(Section):
    """Settings shared by all generative judges.

    ``verdict``: decides right and wrong by the judge (a score of ``threshold`` or more is right) or by the rule.
    ``partial_credit`` makes the rule a gate: the score is 1 if the rule says right, and otherwise this share of the
    judge's score. ``cache``: a file, ``auto`` (a file in the user's cache directory), or None.
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
    repeatable: ClassVar[bool] = False


class JudgeConfig(GenerativeJudgeConfig):
    """A judge behind OpenAI's chat API.

    Prices are per million tokens, in the currency of ``max_cost`` (None: no limit). ``temperature`` None: the server's
    default.
    """

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
    """A judge in the trainer's process. ``model`` is a Hugging Face directory or a name on the hub."""

    revision: str | None
    trust_remote_code: bool
    temperature: NonNegativeFloat


class JudgeLocalConfig(EngineJudgeConfig):
    """A judge that runs on the local engine."""

    name: Literal["judge_local"]
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Literal["auto", "cpu", "cuda"]
    max_batch_rows: PositiveInt


class JudgeVllmConfig(EngineJudgeConfig, VllmEngineConfig):
    """A judge that runs on vLLM. ``dtype`` auto: the model's own; ``max_model_len`` None: its longest context."""

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
    """Return the reward, or the parts of a weighted sum, by setting path: ``reward``, ``reward.parts.NAME.reward``."""
    if isinstance(reward, WeightedConfig):
        return {f"reward.parts.{name}.reward": part.reward for name, part in reward.parts.items()}
    return {"reward": reward}
