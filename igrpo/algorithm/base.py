"""What an algorithm is, and what it may use."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from igrpo.prompts import PromptBuilder
from igrpo.rewards.base import Reward, checked_score
from igrpo.rollout.base import Engine, SamplingParams
from igrpo.seeding import derive_seed, sample_seed
from igrpo.types import Completion, Prompt, Question, Score, Trace


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The parts that one rollout cycle hands to its questions."""

    engine: Engine
    reward: Reward
    prompts: PromptBuilder
    params: SamplingParams
    run_seed: int
    step: int

    async def sample(self, question: Question, prompt: Prompt, n: int, stage: int) -> tuple[Completion, ...]:
        """``n`` completions, each from a seed of its own."""
        seeds = [sample_seed(self.run_seed, self.step, question.id, stage, i) for i in range(n)]
        return await self.engine.sample(prompt.token_ids, self.params, seeds)

    async def score(self, question: Question, completions: tuple[Completion, ...]) -> tuple[Score, ...]:
        """One checked Score a completion."""
        return await checked_score(self.reward, question, completions)

    def rng(self, question: Question, purpose: str) -> random.Random:
        """A generator for choices other than sampling, the same in every repetition of the step."""
        return random.Random(derive_seed(purpose, self.run_seed, self.step, question.id))


class Algorithm(Protocol):
    """What is sampled, shown and trained on, for one question. The loss is not its business (see objective/)."""

    async def __call__(self, question: Question, tools: Toolbox) -> Trace:
        """All groups of one question, in the order in which they were sampled."""
        ...
