"""The schema of a run's configuration: types and bounds. Values are in conf/; call sites have no defaults.

Every key must be given in YAML or on the command line, and an unknown key is an error. A section's fields depend on its
``name``, so a setting that the chosen part would ignore is an unknown key. The settings of the parts are in
`igrpo.settings`, those of algorithms in `igrpo.algorithms`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from igrpo.algorithms.plan import SamplingPlan
from igrpo.algorithms.registry import AlgorithmConfig
from igrpo.settings.alarms import AlarmsConfig
from igrpo.settings.base import Section
from igrpo.settings.data import DataConfig
from igrpo.settings.evaluation import EvaluationConfig
from igrpo.settings.importance_weights import ImportanceWeightsConfig
from igrpo.settings.model import LoraConfig, ModelConfig
from igrpo.settings.objective import ObjectiveConfig
from igrpo.settings.prompt import PromptConfig
from igrpo.settings.reward import RewardConfig
from igrpo.settings.rollout import RolloutConfig
from igrpo.settings.sampling import DynamicSamplingConfig, SamplingConfig
from igrpo.settings.tracking import ProfilingConfig, TrackingConfig
from igrpo.settings.trainer import BudgetConfig, CheckpointConfig, TrainerConfig

SCHEMA_VERSION = 5


class RunConfig(Section):
    """Configuration of one run.

    Runs from before there was a profile have no ``profile`` and no ``profiling``.
    """

    schema_version: Literal[5]
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
    profile: bool = False
    profiling: ProfilingConfig | None = None

    @property
    def plan(self) -> SamplingPlan:
        """Samples of a question, and the part of them that is trained."""
        return self.algorithm.plan(self.completions_per_question)

    @property
    def most_samples_per_step(self) -> int:
        """Number of samples in a step in which dynamic sampling makes all its attempts for every question."""
        return self.trainer.questions_per_step * self.plan.samples * (1 + self.dynamic_sampling.max_attempts)

    @property
    def updates_per_step(self) -> int:
        """Number of optimizer steps on the samples of one rollout cycle."""
        return self.trainer.epochs * self.trainer.minibatches

    @property
    def processes(self) -> int:
        """Number of trainer processes."""
        return self.trainer.devices * self.trainer.nodes
