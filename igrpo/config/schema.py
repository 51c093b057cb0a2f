"""The schema of a run's configuration: types and bounds here, values in conf/, no defaults at call sites.

Every key must come from YAML (or the command line); a key that no section knows is an error. Since a section's
fields depend on its ``name``, a knob that the chosen part would ignore is an unknown key there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

SCHEMA_VERSION = 1

UnitShare = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
TopP = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """Base of every section: immutable, unknown keys forbidden, no silent conversion of text to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class GRPOConfig(Section):
    name: Literal["grpo"]
    answers: PositiveInt


class IGRPOConfig(Section):
    name: Literal["igrpo"]
    drafts: NonNegativeInt
    selection: Literal["best", "random", "worst", "first", "none"]
    ties: Literal["random", "first", "shortest", "longest"]
    all_failed: Literal["show", "skip"]


AlgorithmConfig = Annotated[GRPOConfig | IGRPOConfig, Field(discriminator="name")]


class AdvantageConfig(Section):
    baseline: Literal["mean", "leave_one_out", "none"]
    scale: Literal["std", "none"]
    std: Literal["sample", "population"]
    std_eps: NonNegativeFloat
    tolerance: NonNegativeFloat
    select: Literal["all", "best"]


class ObjectiveConfig(Section):
    name: str
    advantage: AdvantageConfig
    ratio: Literal["token", "sequence"]
    surrogate: Literal["clip", "detached", "reinforce"]
    clip_low: PositiveFloat | None
    clip_high: PositiveFloat | None
    aggregation: Literal["sequence_mean", "token_mean", "constant"]
    constant_divisor: PositiveFloat | None
    kl_beta: NonNegativeFloat
    kl_estimator: Literal["k1", "k2", "k3"]
    entropy_bonus: float
    mask_truncated: bool


class MathVerifyConfig(Section):
    name: Literal["math_verify"]
    answer_format: tuple[Literal["boxed", "answer_tag", "last_line"], ...] = Field(strict=False, min_length=1)
    percent: Literal["strict", "number", "value", "any"]
    base_subscript: Literal["required", "optional"]
    workers: PositiveInt
    cpu_limit_s: PositiveFloat
    wall_limit_s: PositiveFloat
    memory_limit_mb: PositiveInt
    max_answer_chars: PositiveInt
    cache_size: PositiveInt


class FormatConfig(Section):
    name: Literal["format"]


class PythonRewardConfig(Section):
    name: Literal["python"]
    target: str = Field(pattern=r"^[\w.]+:\w+$")
    arguments: dict[str, Any]


SingleRewardConfig = Annotated[MathVerifyConfig | FormatConfig | PythonRewardConfig, Field(discriminator="name")]


class WeightedPart(Section):
    weight: float
    reward: SingleRewardConfig


class WeightedConfig(Section):
    name: Literal["weighted"]
    parts: dict[str, WeightedPart] = Field(min_length=1)


RewardConfig = Annotated[
    MathVerifyConfig | FormatConfig | PythonRewardConfig | WeightedConfig, Field(discriminator="name")
]


class LocalRolloutConfig(Section):
    name: Literal["local"]
    max_batch_rows: PositiveInt
    pipeline: bool


class SamplingConfig(Section):
    temperature: PositiveFloat
    top_p: TopP
    top_k: NonNegativeInt
    max_completion_tokens: PositiveInt


class WarmStartConfig(Section):
    seed: int
    steps: NonNegativeInt
    schedule_steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    slip: UnitShare
    misconception: UnitShare
    corrupted_share: UnitShare
    corrupted_slip: UnitShare
    clean_share: UnitShare


class TinyModelConfig(Section):
    name: Literal["tiny"]
    hidden: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    mlp: PositiveInt
    warm_start: WarmStartConfig


class ByteLevelModelConfig(Section):
    name: Literal["byte_level"]
    hidden: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    mlp: PositiveInt
    chat_template: bool
    seed: int


class HuggingFaceModelConfig(Section):
    name: Literal["huggingface"]
    name_or_path: str
    revision: str | None
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    trust_remote_code: bool


ModelConfig = Annotated[TinyModelConfig | ByteLevelModelConfig | HuggingFaceModelConfig, Field(discriminator="name")]


class ChainsDataConfig(Section):
    name: Literal["chains"]
    seed: NonNegativeInt
    operations: PositiveInt
    train: PositiveInt
    development: PositiveInt
    test: PositiveInt


class FieldNames(Section):
    id: str | None
    problem: str
    answer: str


class JsonlDataConfig(Section):
    name: Literal["jsonl"]
    path: str
    fields: FieldNames
    development: UnitShare | str
    test: UnitShare | str


class HubDataConfig(Section):
    name: Literal["hub"]
    dataset: str
    subset: str | None
    revision: str | None
    split: str
    fields: FieldNames
    development: UnitShare | str
    test: UnitShare | str


DataConfig = Annotated[ChainsDataConfig | JsonlDataConfig | HubDataConfig, Field(discriminator="name")]


class PromptConfig(Section):
    name: str
    chat_template: Literal["auto", "require", "off"]
    system: str
    question: str
    refinement: str
    cut_marker: str
    draft_thinking: Literal["keep", "strip"]
    max_question_tokens: PositiveInt
    max_draft_tokens: PositiveInt


class TrainerConfig(Section):
    device: Literal["cpu", "cuda", "auto"]
    precision: Literal["fp32", "bf16"]
    threads: PositiveInt
    steps: PositiveInt
    questions_per_step: PositiveInt
    epochs: PositiveInt
    minibatches: PositiveInt
    tokens_per_microbatch: PositiveInt
    head_chunk: PositiveInt
    learning_rate: PositiveFloat
    betas: tuple[Decay, Decay] = Field(strict=False)
    adam_eps: PositiveFloat
    weight_decay: NonNegativeFloat
    schedule: Literal["constant", "cosine"]
    warmup_share: UnitShare
    minimum_lr_share: UnitShare
    clip_norm: PositiveFloat
    on_nonfinite: Literal["stop", "skip"]


class BudgetConfig(Section):
    """What ends a run before ``trainer.steps`` (None: no limit). ``max_X`` limits the counter X of `igrpo.budget`."""

    max_samples: PositiveInt | None
    max_generated_tokens: PositiveInt | None
    max_flops: PositiveFloat | None
    max_seconds: PositiveFloat | None


class EvaluationConfig(Section):
    every: PositiveInt
    questions: PositiveInt
    samples: PositiveInt
    temperature: PositiveFloat
    top_p: TopP
    top_k: NonNegativeInt
    greedy: bool
    draft_conditioned: bool
    oracle_drafts: NonNegativeInt


class CheckpointConfig(Section):
    every: PositiveInt
    keep_last: PositiveInt
    keep_best: bool
    minimum_free_mb: NonNegativeInt


class TrackingConfig(Section):
    uri: str | None
    experiment: str
    example_questions: NonNegativeInt
    rollout_steps_per_file: PositiveInt
    rollout_files_kept: PositiveInt | None


class RunConfig(Section):
    """The whole configuration of one run."""

    schema_version: Literal[1]
    seed: NonNegativeInt
    condition: str = Field(min_length=1)
    run_name: str
    completions_per_question: PositiveInt
    algorithm: AlgorithmConfig
    objective: ObjectiveConfig
    reward: RewardConfig
    sampling: SamplingConfig
    rollout: LocalRolloutConfig
    model: ModelConfig
    data: DataConfig
    prompt: PromptConfig
    trainer: TrainerConfig
    budget: BudgetConfig
    evaluation: EvaluationConfig
    checkpoint: CheckpointConfig
    tracking: TrackingConfig

    @property
    def drafts(self) -> int:
        """N, the drafts a question (0 where there is no Stage 1)."""
        return self.algorithm.drafts if isinstance(self.algorithm, IGRPOConfig) else 0

    @property
    def group_size(self) -> int:
        """G, the completions a question that get gradients: GRPO's answers; of iGRPO, what the drafts leave."""
        if isinstance(self.algorithm, GRPOConfig):
            return self.algorithm.answers
        return self.completions_per_question - self.algorithm.drafts

    @property
    def samples_per_question(self) -> int:
        """N + G, what a question really costs: ``completions_per_question``, or less where GRPO is given less."""
        return self.drafts + self.group_size

    @property
    def updates_per_step(self) -> int:
        """Optimizer steps on the samples of one rollout cycle."""
        return self.trainer.epochs * self.trainer.minibatches
