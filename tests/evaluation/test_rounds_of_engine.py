"""An evaluation by the local engine that stops early: its tokens are those of all samples."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from igrpo.assembly import build_prompts
from igrpo.evaluation.evaluator import Evaluator
from igrpo.evaluation.result import EvaluationResult
from igrpo.generation.base import SamplingParams
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.generation.local.engine import LocalEngine
from igrpo.settings.prompt import PromptConfig
from igrpo.types import Completion, Question, Score
from tests.assembly.parts import tiny_policy
from tests.composed import config
from tests.evaluation.fakes import EqualityReward, widths


class Constant(EqualityReward):
    """Reward with a verdict that any text has: whether its length is even."""

    def one(self, question: Question, text: str) -> Score:
        right = len(text) % 2 == 0
        return Score(float(right), right, "right" if right else "wrong", answer=text)


class Kept(LocalEngine):
    """The local engine, with what it has sampled for each seed."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.tokens: dict[int, tuple[int, ...]] = {}

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        made = await super().sample(prompt_ids, params, seeds)
        self.tokens |= {seed: done.token_ids for seed, done in zip(seeds, made, strict=True)}
        return made


@pytest.mark.parametrize("barrier", [True, False])
def test_a_stopped_evaluation_of_the_local_engine_is_a_prefix_token_by_token(barrier: bool) -> None:
    policy, prompt = tiny_policy(), config().prompt
    assert isinstance(prompt, PromptConfig)
    questions = [Question(f"q{i}", f"{i} + {i % 3}", str(i % 2)) for i in range(6)]

    def sampled(width: float | None, *, caching: bool = True) -> tuple[EvaluationResult, Kept]:
        engine = Kept(policy.model, policy.tokenizer, max_batch_rows=16, prefix_caching=caching)
        params = SamplingParams(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=12, stop_token_ids=(2,))
        evaluator = Evaluator(
            engine,
            Constant(),
            build_prompts(prompt, policy.tokenizer),
            questions,
            sampling=params,
            samples=8,
            greedy=True,
            draft_conditioned=True,
            oracle_drafts=0,
            seed=3,
            interval_width=width,
            wrap=BatchBarrier if barrier else None,
        )
        return asyncio.run(evaluator.run()), engine

    whole, all_of = sampled(None)
    assert widths(whole)[2] > widths(whole)[4]
    stopped, part = sampled(widths(whole)[4] + 1e-9)
    assert [len(one.single_shot) for one in stopped.per_question] == 6 * [4]
    assert [one.draft_conditioned for one in stopped.per_question] == [
        one.draft_conditioned[:4] for one in whole.per_question
    ]
    assert len(part.tokens) == 6 * (4 + 1 + 4)
    assert len(all_of.tokens) == 6 * (8 + 1 + 8)
    assert part.tokens == {seed: all_of.tokens[seed] for seed in part.tokens}
    assert len(set(part.tokens.values())) > 6, "random weights sample many texts"
    plain, without = sampled(None, caching=False)
    assert plain.per_question == whole.per_question
    assert without.tokens == all_of.tokens
    # the prompts of refinements begin with those of their questions, which were computed for the single-shot samples
    assert all_of.computed_prompt_tokens < without.computed_prompt_tokens == without.prefilled_tokens
    assert all_of.prefilled_tokens == without.prefilled_tokens
