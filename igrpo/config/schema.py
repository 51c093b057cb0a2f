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
from igrpo.config.evaluation import EvaluationConfig
from igrpo.settings.alarms import AlarmsConfig
from igrpo.settings.base import Section
from igrpo.settings.data import DataConfig
from igrpo.settings.importance_weights import ImportanceWeightsConfig
from igrpo.settings.model import LoraConfig, ModelConfig
from igrpo.settings.objective import ObjectiveConfig
from igrpo.settings.prompt import PromptConfig
from igrpo.settings.reward import RewardConfig, SingleRewardConfig, reward_parts
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
    """Version of the settings' format, which a run directory stores. It is not meant to be changed."""

    seed: NonNegativeInt
    """Seed of the run: the order of the questions, all sampling, adapters and, by default, the warm start. Runs that
    differ only in it are repetitions."""

    condition: str = Field(min_length=1)
    """Label of the group of runs that this run belongs to in a comparison. `condition=NAME` selects a file of
    conf/condition, which sets it; otherwise it is the algorithm's name."""

    run_name: str
    """Name of the run in its directory and in MLflow."""

    completions_per_question: PositiveInt
    """Budget of a question: completions of all roles together, per question and step. GRPO samples so many answers;
    iGRPO divides them between drafts and refinements."""

    algorithm: AlgorithmConfig
    """Method: the samples of a question, those that later prompts show, and those that are trained."""

    objective: ObjectiveConfig
    """The loss: advantages, ratios, clipping, aggregation, KL term and entropy bonus. Any loss can be combined with any
    algorithm."""

    dynamic_sampling: DynamicSamplingConfig
    """Replacement of questions without a training signal by other questions of the same step."""

    correction: ImportanceWeightsConfig
    """Importance weights pi_old(trainer) / pi_old(sampler) for an engine whose log-probs differ from the trainer's."""

    reward: RewardConfig
    """The function that scores completions and decides whether they are right."""

    sampling: SamplingConfig
    """Sampling of completions in training. Evaluation has settings of its own (`evaluation`)."""

    rollout: RolloutConfig
    """The engine that samples: the trainer's own, or vLLM."""

    model: ModelConfig
    """The language model that is trained."""

    lora: LoraConfig
    """Low-rank adapters that are trained instead of all weights."""

    data: DataConfig
    """Training questions, and the held-out questions of the development and test splits."""

    prompt: PromptConfig
    """Layouts of the prompts, and limits on the questions and drafts that they show."""

    trainer: TrainerConfig
    """Optimization, hardware and batch sizes."""

    budget: BudgetConfig
    """Limits that end a run before `trainer.steps`. The run ends after the first step in which a counter reaches its
    limit."""

    evaluation: EvaluationConfig
    """Evaluation on held-out questions, before, during and after training."""

    checkpoint: CheckpointConfig
    """Checkpoints, from which `igrpo train resume=RUN_DIR` continues."""

    alarms: AlarmsConfig
    """Thresholds of the warnings about a run that goes wrong."""

    tracking: TrackingConfig
    """MLflow, and the files of the rollout log."""

    profile: bool = False
    """True: write the time by phase and a trace of a few steps to profile/ in the run directory, and print the former
    at the end."""

    profiling: ProfilingConfig | None = None
    """Steps that `profile=true` traces. Null in run directories written before this setting existed."""

    @property
    def plan(self) -> SamplingPlan:
        """Samples of a question, and the part of them that is trained."""
        return self.algorithm.plan(self.completions_per_question)

    @property
    def rewards(self) -> dict[str, RewardConfig]:
        """The reward of the run and those of benchmarks that have one of their own, by setting path."""
        own = {f"evaluation.benchmarks.{name}.reward": one.reward for name, one in self.evaluation.benchmarks.items()}
        return {"reward": self.reward} | {path: reward for path, reward in own.items() if reward is not None}

    @property
    def single_rewards(self) -> dict[str, SingleRewardConfig]:
        """All of `rewards`, with weighted sums taken apart, and the judges of test-time modes, by setting path."""
        parts = {path: part for at, reward in self.rewards.items() for path, part in reward_parts(reward, at).items()}
        modes = self.evaluation.test_time.items()
        judges = {f"evaluation.test_time.{name}.judge": mode.judging for name, mode in modes}
        return parts | {path: judge for path, judge in judges.items() if judge is not None}

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
