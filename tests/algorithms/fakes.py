"""Algorithms with few settings to give, and a scripted engine and reward for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from igrpo.algorithms.base import Algorithm, RolloutContext
from igrpo.algorithms.critique_grpo import CritiqueGRPO
from igrpo.algorithms.grpo import GRPO
from igrpo.algorithms.igrpo import IGRPO
from igrpo.algorithms.plan import SamplingPlan
from igrpo.algorithms.self_verification import SelfVerification
from igrpo.generation.base import SamplingParams
from igrpo.settings.importance_weights import CrossPromptWeightsConfig, PolicyShapingConfig
from igrpo.types import Completion, Prompt, Question, Rollout, Score
from tests.fake_engine import FakeEngine

PARAMS = SamplingParams(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=8, stop_token_ids=(2,))
QUESTION = Question("q1", "1 + 1", "2")


def grpo(answers: int) -> GRPO:
    return GRPO(name="grpo", answers=answers)


def igrpo(drafts: int = 4, **changes: Any) -> IGRPO:
    """As in the paper, with the first of equal drafts."""
    settings: dict[str, Any] = {
        "name": "igrpo", "drafts": drafts, "rounds": 1, "show": 1, "selection": "best", "ties": "first",
        "all_failed": "show", "train_on": ("refine",), "joint_baseline": False, "bare_fraction": 0.0,
        "transfer": CrossPromptWeightsConfig(method="truncate", level="token", cap=1.0),
    }  # fmt: skip
    return IGRPO(**(settings | changes))


def critique_grpo(answers: int = 4, kept: int = 2) -> CritiqueGRPO:
    transfer = PolicyShapingConfig(method="shape", gamma=0.1)
    return CritiqueGRPO(name="critique_grpo", answers=answers, kept=kept, transfer=transfer)


def self_verification(answers: int = 4, buffer: int = 8, *, balanced: bool = True) -> SelfVerification:
    return SelfVerification(name="self_verification", answers=answers, buffer=buffer, balanced=balanced)


class Scripted(Algorithm):
    """Does what ``answer(question, context)`` says, a function or a coroutine function; its plan is of no account."""

    name: str = "scripted"
    answer: Any

    def __init__(self, answer: Callable[[Question, RolloutContext], Any]) -> None:
        super().__init__(answer=answer)

    def plan(self, total: int) -> SamplingPlan:
        raise NotImplementedError

    async def rollout(self, question: Question, context: RolloutContext) -> Rollout:
        found = self.answer(question, context)
        return await found if asyncio.iscoroutine(found) else found


def context(engine: Any, total: int = 8, *, reward: Any = None, prompts: Any = None, **changes: Any) -> RolloutContext:
    """Step 3 of run 0, whose only right text is "good"."""
    settings = {"run_seed": 0, "step": 3} | changes
    right = TextReward(frozenset({"good"}))
    return RolloutContext(engine, reward or right, prompts or PlainPrompts(), PARAMS, total, **settings)


def run(algorithm: Algorithm, given: RolloutContext, question: Question = QUESTION) -> Rollout:
    return asyncio.run(algorithm.rollout(question, given))


def completion(text: str, *, tokens: int = 3, truncated: bool = False) -> Completion:
    return Completion(
        token_ids=tuple(range(10, 10 + tokens)),
        text=text,
        logprobs=(-0.5,) * tokens,
        sampling_entropies=(0.25,) * tokens,
        policy_entropies=(0.25,) * tokens,
        finish_reason="length" if truncated else "stop",
        policy_version=0,
    )


def score(value: float, correct: bool | None = None) -> Score:
    right = value > 0 if correct is None else correct
    return Score(value=value, correct=right, outcome="right" if right else "wrong", answer=str(value))


@dataclass
class ScriptedEngine(FakeEngine):
    """``answer(prompt_ids, seed) -> text``; remembers every call."""

    answer: Callable[[tuple[int, ...], int], str]
    calls: list[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        self.calls.append((tuple(prompt_ids), tuple(seeds)))
        return tuple(completion(self.answer(tuple(prompt_ids), seed)) for seed in seeds)


@dataclass
class TextReward:
    """1 for the texts that are right, 0 for others."""

    right: frozenset[str]
    name: str = "text"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        return [score(float(c.text in self.right)) for c in completions]

    def close(self) -> None: ...


class PlainPrompts:
    """Prompts whose tokens tell what they were made of: question 1, draft text as character codes after a 0.

    A critique's prompt ends with -1, a refinement's given a critique has that one's text after a -2, and a
    verification's begins with -3 and the problem's text.
    """

    verdicts: ClassVar = {"Yes": True, "No": False}

    def question_prompt(self, question: Question) -> Prompt:
        return Prompt((1,))

    def refinement_prompt(self, question: Question, drafts: Sequence[Completion]) -> Prompt:
        if not drafts:
            return self.question_prompt(question)
        shown = [token for draft in drafts for token in (0, *map(ord, draft.text))]
        return Prompt((1, *shown), draft_tokens=len(shown))

    def critique_prompt(self, question: Question, answer: Completion) -> Prompt:
        shown = self.refinement_prompt(question, [answer])
        return Prompt((*shown.token_ids, -1), draft_tokens=shown.draft_tokens)

    def revision_prompt(self, question: Question, answer: Completion, critique: Completion) -> Prompt:
        shown, words = self.refinement_prompt(question, [answer]), tuple(map(ord, critique.text))
        return Prompt((*shown.token_ids, -2, *words), draft_tokens=shown.draft_tokens, critique_tokens=len(words))

    def verification_prompt(self, question: Question, answer: Completion) -> Prompt:
        return Prompt((-3, *map(ord, question.problem), 0, *map(ord, answer.text)), draft_tokens=len(answer.text))
