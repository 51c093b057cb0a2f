"""The schema of a run's configuration: types and bounds here, values in conf/, no defaults at call sites.

Every key must come from YAML (or the command line); a key that no section knows is an error. Since a section's
fields depend on its ``name``, a knob that the chosen part would ignore is an unknown key there. The parts that can be
chosen among are in `igrpo.config.parts`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.config.parts.algorithm import AlgorithmConfig, ObjectiveConfig
from igrpo.config.parts.base import Decay, Section, TopP, UnitShare
from igrpo.config.parts.data import BenchmarkConfig, DataConfig
from igrpo.config.parts.model import LoraConfig, ModelConfig
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
    """DAPO's: a question whose trained answers are all right or all wrong gives its place in the step to another one,
    ``max_attempts`` times at most (0: never)."""

    max_attempts: NonNegativeInt


class CorrectionConfig(Section):
    """What is done about samplers whose log-probs are not the trainer's (another engine, another precision).

    The weight of a token is pi_old(trainer) / pi_old(sampler) of that token, or of its whole ``sequence``. ``truncate``
    caps it at ``high``; ``mask`` takes out what lies outside ``low`` to ``high``.
    """

    level: Literal["none", "token", "sequence"]
    bound: Literal["truncate", "mask"]
    low: PositiveFloat | None
    high: PositiveFloat | None


class TrainerConfig(Section):
    """How weights are updated, and on what.

    ``strategy``: ``single`` (one process), ``ddp`` (a replica a process) or ``fsdp2`` (weights, gradients and optimizer
    state sharded over the processes). ``devices`` are processes a node; with several processes each takes its share of
    the questions of a step. ``collective_timeout_s`` ends a run whose processes wait for one that is gone.
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
    """What ends a run before ``trainer.steps`` (None: no limit). ``max_X`` limits the counter X of `igrpo.budget`."""

    max_samples: PositiveInt | None
    max_generated_tokens: PositiveInt | None
    max_trained_tokens: PositiveInt | None
    max_flops: PositiveFloat | None
    max_seconds: PositiveFloat | None


class EvaluationConfig(Section):
    """Held-out questions. ``benchmarks`` are asked before and after training, single-shot, with samples of their own.

    ``max_completion_tokens`` null: that of ``sampling``.
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
        """Whether any of its prompts shows a draft."""
        return self.draft_conditioned or self.oracle_drafts > 0


class CheckpointConfig(Section):
    every: PositiveInt
    keep_last: PositiveInt
    keep_best: bool
    minimum_free_mb: NonNegativeInt


class AlarmsConfig(Section):
    """When a run warns, see `igrpo.metrics.alarms`; null turns an alarm off.

    ``window``: steps that a mean is over. An alarm needs the sampling error of the means, which one step does not give:
    with a window of 1 the values are compared as they are.
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
    """The whole configuration of one run."""

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
        """The completions of a question by their kinds."""
        return self.algorithm.sampled(self.completions_per_question)

    @property
    def drafts(self) -> int:
        """N, the drafts a question (0 where there is no Stage 1)."""
        return sum(one.samples for one in self.sampled if one.kind == "drafts")

    @property
    def transfer(self) -> TransferConfig | None:
        """How completions enter the loss that are trained as answers to another prompt; None where there are none."""
        return self.algorithm.transferring

    @property
    def shown(self) -> int:
        """The most texts (drafts, answers, critiques) that a prompt of training shows beside its question."""
        return max(one.texts for one in self.sampled)

    @property
    def group_size(self) -> int:
        """G, the completions of a group: GRPO's answers; of iGRPO, what the drafts leave to each round."""
        return self.algorithm.group_size(self.completions_per_question)

    @property
    def samples_per_question(self) -> int:
        """What a question really costs, at most: ``completions_per_question``, or less where that is not used up."""
        return sum(one.samples for one in self.sampled)

    @property
    def least_samples_per_question(self) -> int:
        """What a question costs whatever the step's data are."""
        return sum(one.samples for one in self.sampled if one.always)

    @property
    def most_samples_per_step(self) -> int:
        """The completions of a step in which dynamic sampling makes all its attempts, everywhere."""
        return self.trainer.questions_per_step * self.samples_per_question * (1 + self.dynamic_sampling.max_attempts)

    @property
    def rows_per_question(self) -> int:
        """The completions of a question that are trained, at most, each as often as it is."""
        return self.algorithm.rows(self.completions_per_question)

    @property
    def updates_per_step(self) -> int:
        """Optimizer steps on the samples of one rollout cycle."""
        return self.trainer.epochs * self.trainer.minibatches

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.trainer.devices * self.trainer.nodes
