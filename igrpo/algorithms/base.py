"""What an algorithm is, and what it may use."""

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
class Toolbox:
    """The parts that one rollout cycle hands to one of its questions, which has place ``place`` of ``places``.

    Places are counted over all processes, so that what depends on them does not depend on how many there are; steps
    are counted from 1.
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
        """The places of the run before this one: a count that goes on from step to step, and after a resume."""
        return (self.step - 1) * self.places + self.place

    async def sample(self, question: Question, prompt: Prompt, n: int, turn: int) -> tuple[Completion, ...]:
        """``n`` completions, each from a seed of its own; ``turn`` counts what a question samples one after another."""
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
        """``n`` completions of ``prompt`` with their scores; those that the reward cannot score leave the group."""
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
        """A group of completions that were sampled from ``prompt``."""
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
        """A generator for choices other than sampling, the same in every repetition of the step."""
        return random.Random(derive_seed(purpose, self.run_seed, self.step, question.id))


class Algorithm(Protocol):
    """What is sampled, shown and trained on, for one question. The loss is not its business (see objective/)."""

    async def __call__(self, question: Question, tools: Toolbox) -> Trace:
        """All groups of one question, in the order in which they were sampled."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """An algorithm that carries something from step to step. It must not change while a step samples.

    With several processes each harvests its own questions, and all of them remember the same.
    """

    def harvest(self, trace: Trace) -> Any:
        """What later steps need of a question: something that can be pickled, and is small."""
        ...

    def remember(self, harvests_S: Sequence[Any]) -> None:
        """Take in those of all S questions of a step, in their order."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What is remembered, as plain values: a part of every checkpoint."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it."""
        ...
