"""GRPO (arXiv 2402.03300): a group of answers to the bare question. It is the baseline of every comparison here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import PositiveInt

from igrpo.algorithms.base import Algorithm, RolloutContext
from igrpo.algorithms.plan import PlannedSamples, SamplingPlan
from igrpo.types import Question, Rollout, TrainingGroup, scored


class GRPO(Algorithm):
    """GRPO: ``answers`` (G) completions of q, all of them trained."""

    title = "GRPO"
    name: Literal["grpo"]
    """Kind of algorithm: GRPO."""

    answers: PositiveInt
    """G, the group size: number of answers per question. A number below `completions_per_question` leaves part of the
    budget unused."""

    def plan(self, total: int) -> SamplingPlan:
        return SamplingPlan((PlannedSamples("answer", 1, self.answers, trained=(0,)),), frozenset({self.answers}))

    def plain_answers(self, total: int) -> int:
        return self.answers

    def problems(self, total: int) -> Iterator[str]:
        if self.answers > total:
            yield (
                f"algorithm.answers={self.answers} is more than completions_per_question={total}, the budget of a "
                "question; lower it, or raise the budget"
            )
        if self.answers < 2:
            yield (
                f"algorithm.answers={self.answers}, of completions_per_question={total}, is a group of {self.answers}; "
                "a baseline within the group needs at least 2: raise algorithm.answers, or completions_per_question if "
                "it follows it"
            )

    async def rollout(self, question: Question, context: RolloutContext) -> Rollout:
        q = context.prompts.question_prompt(question)
        answers = await context.sample(question, q, self.answers, sampling_round=1, role="answer")
        return Rollout(question, answers, (TrainingGroup(scored(answers)),))
