"""Settings of generative judges."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section
from igrpo.settings.rollout import VllmEngineConfig
from igrpo.settings.verifier import MathVerifyConfig

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


class JudgePromptConfig(Section):
    """Prompt of a generative judge."""

    system: str
    """System prompt of the judge."""

    user: str
    """Request to the judge, with the marks `{problem}`, `{reference}` and `{solution}`."""

    reference: str
    """Text of the mark `{reference}`, with the mark `{answer}`. It is left out if there is no reference answer."""


class GenerativeJudgeConfig(Section):
    """Settings shared by all generative judges."""

    model: str = Field(min_length=1)
    """Model of the judge: its name on the server, or for a judge in the trainer's process a Hugging Face directory or a
    name on the hub."""

    temperature: NonNegativeFloat | None
    """Sampling temperature of the judge. Null: the server's default."""

    max_tokens: PositiveInt
    """Maximum length of a reply, in tokens, thinking included."""

    votes: PositiveInt
    """Number of replies per solution, whose mean is the score. More than 1 needs a temperature that is not 0."""

    threshold: Annotated[float, Field(gt=0, le=1)]
    """Minimum score of a solution that counts as right."""

    verdict: Literal["judge", "rule"]
    """Who decides right and wrong in every accuracy: the judge, or the rule, where it has a verdict."""

    partial_credit: Annotated[float, Field(gt=0, lt=1)] | None
    """Makes the rule a gate: a solution that is right by the rule scores 1 without the judge, all others this share of
    the judge's score. Null: the judge scores all."""

    use_reference: bool
    """False: the judge does not see the reference answer."""

    max_solution_chars: PositiveInt
    """Maximum length of a solution, in characters. A longer one loses its middle."""

    cache: str | None
    """Cache of scores, by the judge's name and the request: a file, `auto` (a file in the user's cache directory), or
    null (none)."""

    prompt: JudgePromptConfig
    """Prompt of the judge; `judge_prompt@reward.prompt=NAME` selects another file of conf/judge_prompt."""

    verifier: MathVerifyConfig
    """The rule: verdicts beside the judge's, for judge/agreement, `verdict=rule` and `partial_credit`. Its settings are
    those of `reward=math_verify`."""

    scores_all: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False


class JudgeConfig(GenerativeJudgeConfig):
    """A judge behind OpenAI's chat API."""

    name: Literal["judge"]
    """Kind of reward: a generative judge behind OpenAI's chat API, such as `igrpo serve --judge`."""

    base_url: str = Field(pattern=r"^https?://[^/\s]+")
    """Address of the server, such as http://127.0.0.1:8001/v1."""

    api_key_env: str = Field(pattern=r"^\w+$")
    """Name of the environment variable with the key. No key is sent if it is not set."""

    max_tokens_key: Literal["max_completion_tokens", "max_tokens"]
    """The server's name for `max_tokens`; older servers know `max_tokens` only."""

    structured: Literal["auto", "json_schema", "off"]
    """Constraint of replies to JSON: if the server supports it (`auto`), always (`json_schema`) or never
    (`off`)."""

    extra_body: dict[str, Any]
    """More fields of each request, such as `{chat_template_kwargs: {enable_thinking: false}}`."""

    concurrency: PositiveInt
    """Maximum number of requests at the same time."""

    timeout_s: PositiveFloat
    """Limit on each attempt, in seconds."""

    retries: NonNegativeInt
    """Number of attempts after the first one, if the server is busy, fails or is too slow."""

    max_wait_s: PositiveFloat
    """Maximum pause between attempts, in seconds. If the server asks for more, the run ends."""

    input_price: NonNegativeFloat
    """Price per million tokens that the judge reads, in the currency of `max_cost`."""

    output_price: NonNegativeFloat
    """Price per million tokens that the judge writes, in the currency of `max_cost`."""

    max_cost: PositiveFloat | None
    """Cost at which the run pauses; each run of a sweep may spend as much. `resume=RUN_DIR reward.max_cost=MORE`
    continues it. Null: no limit."""


class EngineJudgeConfig(GenerativeJudgeConfig):
    """Settings shared by the judges in the trainer's process."""

    revision: str | None
    """Commit, tag or branch on the hub. Null: the newest, which may change between runs."""

    trust_remote_code: bool
    """True: run Python code that comes with the model. Read it first."""

    temperature: NonNegativeFloat
    """Sampling temperature of the judge. 0: greedy."""


class JudgeLocalConfig(EngineJudgeConfig):
    """A judge that runs on the local engine."""

    name: Literal["judge_local"]
    """Kind of reward: a generative judge in the trainer's process, on the local engine."""

    dtype: Literal["float32", "bfloat16", "float16"]
    """Type of the judge's weights."""

    device: Literal["auto", "cpu", "cuda"]
    """Device of the judge; `auto` is CUDA if it is available."""

    max_batch_rows: PositiveInt
    """Maximum number of solutions judged together. Lower it if memory is short."""


class JudgeVllmConfig(EngineJudgeConfig, VllmEngineConfig):
    """A judge that runs on vLLM."""

    name: Literal["judge_vllm"]
    """Kind of reward: a generative judge in the trainer's process, on vLLM."""

    structured: Literal["json_schema", "off"]
    """Constraint of replies to JSON from the first token; `off` for a model that thinks first."""
