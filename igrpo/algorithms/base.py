"""The interface of an algorithm, and everything that one needs to process a question."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from igrpo.algorithms.plan import SamplingPlan
from igrpo.generation.base import Engine, SamplingParams, complete
from igrpo.rewards.base import Reward, checked_score
from igrpo.seeding import derive_seed, sample_seed
from igrpo.settings.base import Section
from igrpo.settings.importance_weights import CrossPromptConfig
from igrpo.settings.objective import ObjectiveConfig
from igrpo.types import ANSWER_ROLES, Prompt, Question, Role, Rollout, Sample, Score

if TYPE_CHECKING:  # it imports transformers
    from igrpo.prompts.builder import PromptBuilder


class Algorithm(Section, ABC):
    """An algorithm: its settings are the fields, ``plan`` says what it samples and trains, and ``rollout`` does it.

    ``total`` is ``completions_per_question``, the budget of a question. The loss is the objective's (`igrpo.losses`).
    To add an algorithm: a subclass in a file of its own, a YAML file in conf/algorithm, and a line in
    `igrpo.algorithms.registry`.
    """

    title: ClassVar[str]  #: name in tables
    name: str
    """Kind of algorithm."""

    @abstractmethod
    def plan(self, total: int) -> SamplingPlan:
        """Return what is sampled for a question, and what of it is trained."""

    def problems(self, total: int) -> Iterator[str]:
        """Yield a message for each contradiction: the setting, its value and what to change."""
        yield from ()

    @abstractmethod
    async def rollout(self, question: Question, context: RolloutContext) -> Rollout:
        """Return all samples of one question, in sampling order, and the groups to train."""

    def notes(self, objective: ObjectiveConfig) -> Iterator[str]:
        """Yield remarks on the settings for the table printed at start."""
        yield from ()

    def new_state(self) -> AlgorithmState | None:
        """Return the state at the start of a run; None for an algorithm without state."""
        return None

    @property
    def transferring(self) -> CrossPromptConfig | None:
        """Settings for samples trained as answers to a prompt other than their own; None if there are none."""
        return None

    def plain_answers(self, total: int) -> int | None:
        """Return n if the settings train as GRPO does on n answers, up to sampling seeds; None if they do not."""
        return None

    @property
    def best_is_shown(self) -> bool:
        """True if later prompts show the sample that the reward ranks best."""
        return False


class AlgorithmState(ABC):
    """State of an algorithm that changes from step to step. It does not change while a step samples.

    With several processes, each extracts the state of its own questions, and all are updated with that of all
    questions.
    """

    @abstractmethod
    def extract_state(self, rollout: Rollout) -> Any:
        """Return what later steps need of a question: a small object that can be pickled."""

    @abstractmethod
    def update_state(self, states_S: Sequence[Any]) -> None:
        """Update the state with those of all S questions of a step, in their order."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values; it is part of every checkpoint."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that ``state_dict`` returned."""


@dataclass(frozen=True, slots=True)
class RolloutContext:
    """Everything an algorithm needs to process one question: number ``question_index`` of ``questions`` in its step.

    Questions are counted over all processes, so that what depends on the index does not depend on the number of
    processes. Steps are counted from 1. ``total`` is the budget of completions per question, and ``state`` that of
    ``Algorithm.new_state``, after the steps before.
    """

    engine: Engine
    reward: Reward
    prompts: PromptBuilder
    params: SamplingParams
    total: int
    run_seed: int
    step: int
    question_index: int = 0
    questions: int = 1
    state: AlgorithmState | None = None

    @property
    def number(self) -> int:
        """Number of questions of the run before this one: it continues from step to step, and after a resume."""
        return (self.step - 1) * self.questions + self.question_index

    async def sample(
        self,
        question: Question,
        prompt: Prompt,
        n: int,
        *,
        sampling_round: int,
        role: Role,
        context: Sequence[Sample] = (),
    ) -> tuple[Sample, ...]:
        """Sample ``n`` completions of ``prompt``, and score those that answer the question.

        Args:
            question: the question, which enters the seeds and the reward.
            prompt: prompt of all n completions.
            n: number of completions, each with its own seed.
            sampling_round: number of the question's sampling round, from 1; it enters the seeds and the samples' ids.
            role: role of the samples. Critiques and verifications get no score here.
            context: earlier samples that the prompt shows, first choice first.
        """
        seeds = [sample_seed(self.run_seed, self.step, question.id, sampling_round, i) for i in range(n)]
        completions = await complete(self.engine, prompt, self.params, seeds)
        scores: Sequence[Score | None] = [None] * n
        if role in ANSWER_ROLES:
            scores = await checked_score(self.reward, question, completions)
        shown = tuple(sample.id for sample in context)
        return tuple(
            Sample((sampling_round, i), role, prompt, completion, score, shown)
            for i, (completion, score) in enumerate(zip(completions, scores, strict=True))
        )

    def rng(self, question: Question, purpose: str) -> random.Random:
        """Random generator for choices other than sampling, the same in every repetition of the step."""
        return random.Random(derive_seed(purpose, self.run_seed, self.step, question.id))
