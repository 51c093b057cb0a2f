"""Engine, reward and prompt builder of a digit task; the engine records its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from igrpo.evaluation.estimators import accuracy_interval
from igrpo.evaluation.evaluator import Evaluator
from igrpo.evaluation.result import EvaluationResult
from igrpo.generation.base import Engine, SamplingParams
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Prompt, Question, Score
from tests.fake_engine import FakeEngine

SAMPLING = SamplingParams(temperature=0.6, top_p=0.95, top_k=20, max_new_tokens=8, stop_token_ids=(0,))
QUESTIONS = [Question("a", "3", "3"), Question("b", "4", "4")]
DRAFT_MARK = 99


@dataclass
class Call:
    """Arguments of a ``sample`` call."""

    prompt: tuple[int, ...]
    params: SamplingParams
    seeds: tuple[int, ...]


@dataclass
class DigitEngine(FakeEngine):
    """Answers with a digit that depends on the prompt and the seed, and records its calls."""

    calls: list[Call] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        self.calls.append(Call(tuple(prompt_ids), params, tuple(seeds)))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return tuple(self.answer(tuple(prompt_ids), params, seed) for seed in seeds)

    def answer(self, prompt: tuple[int, ...], params: SamplingParams, seed: int) -> Completion:
        token = prompt[0] if params.temperature == 0 else 1 + seed % 4
        entropy = 2.0 if DRAFT_MARK in prompt else 1.0
        return Completion((token, 0), str(token), (-1.0,) * 2, (0.5,) * 2, (entropy,) * 2, "stop", 0)


@dataclass
class EqualityReward:
    """Reward 1 for the gold answer, and a hundredth of its digit for a wrong text."""

    name: str = "equality"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        return [self.one(question, c.text) for c in completions]

    def one(self, question: Question, text: str) -> Score:
        right = text == question.answer
        return Score(1.0 if right else int(text) / 100, right, "right" if right else "wrong", answer=text)

    def close(self) -> None: ...


class Prompts:
    """Prompts of a question (its digit) and of a refinement (plus a mark and the draft); draft 1 counts as cut."""

    def question_prompt(self, question: Question) -> Prompt:
        return Prompt((int(question.problem),))

    def refinement_prompt(self, question: Question, drafts: Sequence[Completion]) -> Prompt:
        (draft,) = drafts
        ids = (int(question.problem), DRAFT_MARK, *draft.token_ids)
        return Prompt(ids, draft_tokens=2, draft_tokens_cut=int(draft.text == "1"))


def evaluator(engine: Engine, **changes: object) -> Evaluator:
    settings: dict[str, object] = {
        "sampling": SAMPLING,
        "samples": 4,
        "greedy": True,
        "draft_conditioned": True,
        "oracle_drafts": 0,
        "seed": 11,
    }
    reward = changes.pop("reward", EqualityReward())
    questions = changes.pop("questions", QUESTIONS)
    prompts = changes.pop("prompts", Prompts())
    return Evaluator(engine, reward, prompts, questions, **(settings | changes))  # type: ignore[arg-type]


def run(engine: Engine, **changes: object) -> EvaluationResult:
    return asyncio.run(evaluator(engine, **changes).run())


def token(question_id: str, stage: int | str, sample: int) -> str:
    """Return the answer of the engine for this seed."""
    return str(1 + derive_seed("evaluation", 11, question_id, stage, sample) % 4)


def widths(result: EvaluationResult) -> dict[int, float]:
    """The width of the interval of the first k samples."""
    rows = [question.single_shot for question in result.per_question]
    ends = {k: accuracy_interval([row[:k] for row in rows]) for k in range(1, len(rows[0]) + 1)}
    return {k: high - low for k, (low, high) in ends.items()}
