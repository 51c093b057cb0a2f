"""GRPO (arXiv 2402.03300): a group of answers to the bare question. It is the baseline of every comparison here."""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.algorithms.base import RolloutContext
from igrpo.types import Question, Trace


@dataclass(frozen=True, slots=True)
class GRPO:
    """GRPO algorithm with a single stage: G completions of q, all of them trained."""

    group_size: int

    async def __call__(self, question: Question, context: RolloutContext) -> Trace:
        prompt = context.prompts.question_prompt(question)
        answers = await context.group(question, prompt, self.group_size, turn=1, stage=1, trained=True)
        return Trace(question, (answers,))
