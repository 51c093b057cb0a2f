"""GRPO (arXiv 2402.03300): a group of answers to the bare question. The baseline of every comparison here."""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.algorithm.base import Toolbox
from igrpo.types import Group, Question, Trace


@dataclass(frozen=True, slots=True)
class GRPO:
    """One stage: G completions of q, all of them trained."""

    group_size: int

    async def __call__(self, question: Question, tools: Toolbox) -> Trace:
        prompt = tools.prompts.question_prompt(question)
        completions_G = await tools.sample(question, prompt, self.group_size, stage=1)
        scores_G = await tools.score(question, completions_G)
        return Trace(question, (Group(1, prompt, completions_G, scores_G, trained=True),))
