"""The interface of an algorithm, and everything that one needs to process a question."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from igrpo.generation.base import Engine, SamplingParams, complete
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.base import Reward, checked_score
from igrpo.seeding import derive_seed, sample_seed
from igrpo.types import Completion, Group, Prompt, Question, Trace


@dataclass(frozen=True, slots=True)
class RolloutContext:
    """Everything an algorithm needs to process one question, which has place ``place`` of ``places`` in its step.

    Places are counted over all processes, so that what depends on them does not depend on the number of processes.
    Steps are counted from 1.
    """

    engine: Engine
    reward: Reward
    prompts: PromptBuilder
    params: SamplingParams
    run_seed: int
    step: int
    place: int = 0
    places: int = 1

    @property
    def number(self) -> int:
        """Number of places of the run before this one: a count that continues from step to step, and after a resume."""
        return (self.step - 1) * self.places + self.place

    async def sample(self, question: Question, prompt: Prompt, n: int, turn: int) -> tuple[Completion, ...]:
        """Sample ``n`` completions, each with its own seed; ``turn`` is the sampling round of the question, from 1."""
        seeds = [sample_seed(self.run_seed, self.step, question.id, turn, i) for i in range(n)]
        return await complete(self.engine, prompt, self.params, seeds)

    async def group(
        self,
        question: Question,
        prompt: Prompt,
        n: int,
        *,
        turn: int,
        stage: int,
        trained: bool,
        shown: tuple[int, ...] = (),
        shown_from: int = 1,
    ) -> Group:
        """Sample ``n`` completions of ``prompt`` and score them; those without a score are kept apart as unscored."""
        completions = await self.sample(question, prompt, n, turn)
        return await self.scored(
            question, prompt, completions, stage=stage, trained=trained, shown=shown, shown_from=shown_from
        )

    async def scored(
        self,
        question: Question,
        prompt: Prompt,
        completions: tuple[Completion, ...],
        *,
        stage: int,
        trained: bool,
        shown: tuple[int, ...] = (),
        shown_from: int = 1,
    ) -> Group:
        """Score completions that were sampled from ``prompt``, and make a group of them."""
        scores = await checked_score(self.reward, question, completions)
        pairs = list(zip(completions, scores, strict=True))
        return Group(
            stage,
            prompt,
            tuple(completion for completion, score in pairs if score is not None),
            tuple(score for score in scores if score is not None),
            trained=trained,
            shown=shown,
            unscored=tuple(completion for completion, score in pairs if score is None),
            shown_from=shown_from,
        )

    def rng(self, question: Question, purpose: str) -> random.Random:
        """Random generator for choices other than sampling, the same in every repetition of the step."""
        return random.Random(derive_seed(purpose, self.run_seed, self.step, question.id))


class Algorithm(Protocol):
    """Decides what is sampled, shown and trained on for one question. The loss is the objective's (`igrpo.losses`)."""

    async def __call__(self, question: Question, context: RolloutContext) -> Trace:
        """Return all groups of one question, in the order in which they were sampled."""
        ...


@runtime_checkable
class StatefulAlgorithm(Protocol):
    """An algorithm whose state changes from step to step; it must not change while a step samples.

    With several processes, each extracts the state of its own questions, and all are updated with that of all
    questions.
    """

    def extract_state(self, trace: Trace) -> Any:
        """Return what later steps need of a question: a small object that can be pickled."""
        ...

    def update_state(self, states_S: Sequence[Any]) -> None:
        """Update the state with those of all S questions of a step, in their order."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values; it is part of every checkpoint."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that ``state_dict`` returned."""
        ...
