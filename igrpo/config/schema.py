"""The schema of a run's configuration: types and bounds. Values are in conf/; call sites have no defaults.

Every key must be given in YAML or on the command line, and an unknown key is an error. A section's fields depend on its
``name``, so a setting that the chosen part would ignore is an unknown key. The interchangeable parts are in
`igrpo.settings`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from igrpo.settings.alarms import AlarmsConfig
from igrpo.settings.algorithm import AlgorithmConfig
from igrpo.settings.base import Section
from igrpo.settings.data import DataConfig
from igrpo.settings.evaluation import EvaluationConfig
from igrpo.settings.importance_weights import CrossPromptConfig, ImportanceWeightsConfig
from igrpo.settings.model import LoraConfig, ModelConfig
from igrpo.settings.objective import ObjectiveConfig
from igrpo.settings.prompt import PromptConfig
from igrpo.settings.reward import RewardConfig
from igrpo.settings.rollout import RolloutConfig
from igrpo.settings.sampled import Sampled
from igrpo.settings.sampling import DynamicSamplingConfig, SamplingConfig
from igrpo.settings.tracking import TrackingConfig
from igrpo.settings.trainer import BudgetConfig, CheckpointConfig, TrainerConfig

SCHEMA_VERSION = 4


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
    correction: ImportanceWeightsConfig
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
    def transfer(self) -> CrossPromptConfig | None:
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
