"""The schema of a run's configuration: types and bounds. Values are in conf/; call sites have no defaults.

Every key must be given in YAML or on the command line, and an unknown key is an error. A section's fields depend on its
``name``, so a setting that the chosen part would ignore is an unknown key. The interchangeable parts are in
`igrpo.config.parts`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.config.parts.algorithm import AlgorithmConfig
from igrpo.config.parts.base import Decay, Section, TopP, UnitShare
from igrpo.config.parts.data import BenchmarkConfig, DataConfig
from igrpo.config.parts.model import LoraConfig, ModelConfig
from igrpo.config.parts.objective import ObjectiveConfig
from igrpo.config.parts.prompt import PromptConfig
from igrpo.config.parts.reward import RewardConfig
from igrpo.config.parts.rollout import RolloutConfig
from igrpo.config.parts.sampled import Sampled
from igrpo.config.parts.transfer import TransferConfig

SCHEMA_VERSION = 4


class SamplingConfig(Section):
    temperature: PositiveFloat
    top_p: TopP
    top_k: NonNegativeInt
    max_completion_tokens: PositiveInt


class DynamicSamplingConfig(Section):
    """Dynamic sampling, as in DAPO.

    A question whose trained answers are all right or all wrong is replaced in the step by another one, at most
    ``max_attempts`` times (0: never).
    """

    max_attempts: NonNegativeInt


class CorrectionConfig(Section):
    """Correction for samplers whose log-probs differ from the trainer's (another engine or precision).

    The weight of a token is pi_old(trainer) / pi_old(sampler) of that token, or of its whole ``sequence``. ``truncate``
    caps it at ``high``; ``mask`` removes weights outside the range from ``low`` to ``high``.
    """

    level: Literal["none", "token", "sequence"]
    bound: Literal["truncate", "mask"]
    low: PositiveFloat | None
    high: PositiveFloat | None


class TrainerConfig(Section):
    """Optimization, hardware and batch sizes.

    ``strategy``: ``single`` (one process), ``ddp`` (one replica per process) or ``fsdp2`` (weights, gradients and
    optimizer state sharded over the processes). ``devices`` is the number of processes per node; with several
    processes, each takes a share of the step's questions. After ``collective_timeout_s`` seconds of waiting for a
    missing process, the run ends.
    """

    strategy: Literal["single", "ddp", "fsdp2"]
    devices: PositiveInt
    nodes: PositiveInt
    collective_timeout_s: PositiveFloat
    device: Literal["cpu", "cuda", "auto"]
    precision: Literal["fp32", "bf16"]
    activation_checkpointing: bool
    optimizer: Literal["adamw", "adamw_8bit"]
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
    """Limits that end a run before ``trainer.steps`` (None: no limit). ``max_X`` limits counter X of `igrpo.budget`."""

    max_samples: PositiveInt | None
    max_generated_tokens: PositiveInt | None
    max_trained_tokens: PositiveInt | None
    max_flops: PositiveFloat | None
    max_seconds: PositiveFloat | None


class EvaluationConfig(Section):
    """Evaluation on held-out questions.

    ``benchmarks`` are evaluated before and after training, single-shot, each with its own number of samples.
    ``max_completion_tokens`` null: the value of ``sampling``.
    """

    every: PositiveInt
    questions: PositiveInt
    samples: PositiveInt
    temperature: PositiveFloat
    top_p: TopP
    top_k: NonNegativeInt
    greedy: bool
    draft_conditioned: bool
    oracle_drafts: NonNegativeInt
    max_completion_tokens: PositiveInt | None
    benchmarks: dict[str, BenchmarkConfig]

    @property
    def shows_drafts(self) -> bool:
        """True if any evaluation prompt shows a draft."""
        return self.draft_conditioned or self.oracle_drafts > 0


class CheckpointConfig(Section):
    every: PositiveInt
    keep_last: PositiveInt
    keep_best: bool
    minimum_free_mb: NonNegativeInt


class AlarmsConfig(Section):
    """Thresholds of the warnings of `igrpo.metrics.alarms`; null turns an alarm off.

    ``window``: number of steps to average over. Alarms use the sampling error of the means, which one step does not
    give: with a window of 1, the values are compared directly.
    """

    window: PositiveInt
    entropy_share: Annotated[float, Field(gt=0, lt=1)] | None
    length_ratio: Annotated[float, Field(gt=1)] | None
    answer_differs_rise: UnitShare | None
    accuracy_fall: Annotated[float, Field(gt=0, le=1)] | None


class TrackingConfig(Section):
    uri: str | None
    experiment: str
    example_questions: NonNegativeInt
    rollout_steps_per_file: PositiveInt
    rollout_files_kept: PositiveInt | None


class RunConfig(Section):
    """Configuration of one run."""

    schema_version: Literal[4]
    seed: NonNegativeInt
    condition: str = Field(min_length=1)
    run_name: str
    completions_per_question: PositiveInt
    algorithm: AlgorithmConfig
    objective: ObjectiveConfig
    dynamic_sampling: DynamicSamplingConfig
    correction: CorrectionConfig
    reward: RewardConfig
    sampling: SamplingConfig
    rollout: RolloutConfig
    model: ModelConfig
    lora: LoraConfig
    data: DataConfig
    prompt: PromptConfig
    trainer: TrainerConfig
    budget: BudgetConfig
    evaluation: EvaluationConfig
    checkpoint: CheckpointConfig
    alarms: AlarmsConfig
    tracking: TrackingConfig

    @property
    def sampled(self) -> tuple[Sampled, ...]:
        """Completions per question, by kind."""
        return self.algorithm.sampled(self.completions_per_question)

    @property
    def drafts(self) -> int:
        """N, the number of drafts per question (0 if there is no Stage 1)."""
        return sum(one.samples for one in self.sampled if one.kind == "drafts")

    @property
    def transfer(self) -> TransferConfig | None:
        """Settings for completions trained as answers to a prompt other than their own; None if there are none."""
        return self.algorithm.transferring

    @property
    def shown(self) -> int:
        """Maximum number of texts (drafts, answers, critiques) that a training prompt shows beside the question."""
        return max(one.texts for one in self.sampled)

    @property
    def group_size(self) -> int:
        """G, the group size: the number of answers in GRPO, of refinements per round in iGRPO."""
        return self.algorithm.group_size(self.completions_per_question)

    @property
    def samples_per_question(self) -> int:
        """Maximum number of samples per question: ``completions_per_question``, or less if that is not used up."""
        return sum(one.samples for one in self.sampled)

    @property
    def least_samples_per_question(self) -> int:
        """Number of samples per question that are drawn whatever the data."""
        return sum(one.samples for one in self.sampled if one.always)

    @property
    def most_samples_per_step(self) -> int:
        """Number of samples in a step in which dynamic sampling makes all its attempts for every question."""
        return self.trainer.questions_per_step * self.samples_per_question * (1 + self.dynamic_sampling.max_attempts)

    @property
    def rows_per_question(self) -> int:
        """Maximum number of trained rows per question; a completion trained in several ways counts once per way."""
        return self.algorithm.rows(self.completions_per_question)

    @property
    def updates_per_step(self) -> int:
        """Number of optimizer steps on the samples of one rollout cycle."""
        return self.trainer.epochs * self.trainer.minibatches

    @property
    def processes(self) -> int:
        """Number of trainer processes."""
        return self.trainer.devices * self.trainer.nodes
