"""One rollout cycle: counters, order, and what becomes of the others when one question fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from igrpo.algorithms.base import RolloutContext
from igrpo.budget import Budget
from igrpo.distributed import gather_shares, share
from igrpo.generation.base import Engine, SamplingParams
from igrpo.rewards.base import RewardError
from igrpo.training.collect import Collector, first_leaf
from igrpo.types import Completion, Prompt, Question, Rollout, Score
from tests.algorithms.fakes import PARAMS, Scripted, ScriptedEngine, TextReward, grpo, igrpo, score
from tests.gloo import in_processes

QUESTIONS = [Question(name, name, "a") for name in ("one", "two", "three")]
TWO_STAGES, TOTAL = igrpo(3), 5
DEADLINE_S = 5


class NamedPrompts:
    """Prompts that tell the question: its letters; then a 0 and the draft's."""

    def question_prompt(self, question: Question) -> Prompt:
        return Prompt(tuple(map(ord, question.id)))

    def refinement_prompt(self, question: Question, drafts: Sequence[Completion]) -> Prompt:
        bare = self.question_prompt(question)
        shown = [token for draft in drafts for token in (0, *map(ord, draft.text))]
        return Prompt((*bare.token_ids, *shown), draft_tokens=len(drafts))


@dataclass
class CountingEngine(ScriptedEngine):
    """Counts like a real one: each prompt once, each returned token; every call is busy for a moment."""

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        found = await super().sample(prompt_ids, params, seeds)
        self.prefilled_tokens += len(prompt_ids)
        self.generated_tokens += sum(len(one.token_ids) for one in found)
        self.flops += 10 * len(prompt_ids)
        self.busy_seconds += 0.001
        await asyncio.sleep(0)
        return found


def letters(prompt: tuple[int, ...], seed: int) -> str:
    return "ab"[(seed + len(prompt)) % 2]


def collector(engine: Engine, reward: Any, algorithm: Any = TWO_STAGES, *, pipeline: bool = False) -> Collector:
    prompts: Any = NamedPrompts()
    return Collector(algorithm, TOTAL, engine, reward, prompts, PARAMS, run_seed=7, pipeline=pipeline)


def numbers_of(steps: Sequence[int]) -> list[int]:
    """Those that this process's share of three questions has in each step."""
    numbers = []

    def answer(question: Question, context: RolloutContext) -> Rollout:
        numbers.append(context.number)
        return Rollout(question)

    for step in steps:
        collector(CountingEngine(letters), TextReward(frozenset()), Scripted(answer)).collect(
            step, share(QUESTIONS), Budget()
        )
    return numbers


def test_questions_are_numbered_over_the_steps_of_a_run(tmp_path: Path) -> None:
    assert numbers_of((1, 2, 5)) == [0, 1, 2, 3, 4, 5, 12, 13, 14]  # three a step
    assert in_processes(2, tmp_path, numbers_of, (1, 2, 5)) == [[0, 2, 3, 5, 12, 14], [1, 4, 13]]


def test_counters_are_those_of_the_cycle() -> None:
    before = {"prefilled_tokens": 1000, "generated_tokens": 2000, "flops": 3000}
    engine, budget = CountingEngine(letters, **before, busy_seconds=50.0), Budget()
    rollouts = collector(engine, TextReward(frozenset("a"))).collect(1, QUESTIONS, budget)
    assert [one.question for one in rollouts] == QUESTIONS
    assert budget.samples == 3 * (3 + 2)
    assert budget.generated_tokens == 3 * 5 * 3  # the fake's completions have three tokens
    # letters of 'one', 'two', 'three' = 11, once for the drafts; once more with a 0 and a draft of one letter
    assert budget.prefilled_tokens == 11 + (11 + 3 * 2)
    assert budget.flops == 10 * budget.prefilled_tokens  # what the fake says, and only of this cycle
    assert budget.seconds["generation"] == pytest.approx(6 * 0.001)
    assert budget.seconds["reward_wait"] >= 0


def test_prompts_are_kept_for_the_time_of_a_cycle() -> None:
    class Keeper(CountingEngine):
        """Notes when it keeps prompts."""

        open, seen = False, set[bool]()

        @contextmanager
        def keep_prompts(self) -> Iterator[None]:
            self.open = True
            yield
            self.open = False

        async def sample(self, *asked: Any) -> tuple[Completion, ...]:
            self.seen.add(self.open)
            return await super().sample(*asked)

    engine = Keeper(letters)
    collector(engine, TextReward(frozenset("a"))).collect(1, QUESTIONS, Budget())
    assert (engine.seen, engine.open) == ({True}, False)


def test_grpo_spends_the_same_number_of_samples() -> None:
    budget = Budget()
    collector(CountingEngine(letters), TextReward(frozenset("a")), grpo(5)).collect(1, QUESTIONS, budget)
    assert budget.samples == 3 * 5


@dataclass
class UnevenReward(TextReward):
    """Takes its time, most for the first question, so that without a barrier the others run ahead."""

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        for _ in range(10 * (3 - [q.id for q in QUESTIONS].index(question.id))):
            await asyncio.sleep(0)
        return await super().score(question, completions)


def test_the_barrier_changes_the_order_and_nothing_else() -> None:
    found, orders = [], []
    for pipeline in (True, False):
        engine = CountingEngine(letters)
        found.append(collector(engine, UnevenReward(frozenset("a")), pipeline=pipeline).collect(4, QUESTIONS, Budget()))
        orders.append([prompt for prompt, _ in engine.calls])
    assert found[0] == found[1]
    piped, barred = orders
    assert sorted(piped) == sorted(barred)
    assert "".join(map(chr, piped[3])).startswith("three\0")  # the fastest question refines first
    assert [0 in prompt for prompt in barred] == [False] * 3 + [True] * 3


def test_seeds_belong_to_the_step() -> None:
    calls = []
    for step in (1, 1, 2):
        engine = CountingEngine(letters)
        collector(engine, TextReward(frozenset("a"))).collect(step, QUESTIONS, Budget())
        calls.append([seed for _, seeds in engine.calls for seed in seeds])
    assert calls[0] == calls[1]
    assert not set(calls[0]) & set(calls[2])
    assert len(set(calls[0])) == 15


@dataclass
class FailingReward(TextReward):
    """Fails on one question; the others would wait for ever, and tell whether they were stopped."""

    failing: str = "two"
    cancelled: list[str] = field(default_factory=list)

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        if question.id == self.failing:
            raise RewardError(f"no score for {question.id}")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.append(question.id)
            raise
        return [score(0.0) for _ in completions]


@pytest.mark.parametrize("pipeline", [True, False])
def test_one_failure_cancels_the_others_and_comes_out_as_itself(pipeline: bool) -> None:
    reward = FailingReward(frozenset())
    start = time.monotonic()
    with pytest.raises(RewardError, match=r"^no score for two$") as caught:
        collector(CountingEngine(letters), reward, pipeline=pipeline).collect(1, QUESTIONS, Budget())
    assert time.monotonic() - start < DEADLINE_S
    assert type(caught.value) is RewardError
    assert caught.value.__cause__ is None
    assert sorted(reward.cancelled) == ["one", "three"]


@dataclass
class FailingEngine(ScriptedEngine):
    """Fails at the drafts of one question."""

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        if tuple(prompt_ids) == tuple(map(ord, "two")):
            raise FloatingPointError("logits are not finite")
        await asyncio.sleep(0.01)
        return await super().sample(prompt_ids, params, seeds)


@pytest.mark.parametrize("pipeline", [True, False])
def test_an_engine_that_fails_does_not_hang_the_others(pipeline: bool) -> None:
    start = time.monotonic()
    with pytest.raises(FloatingPointError, match="not finite"):
        collector(FailingEngine(letters), TextReward(frozenset("a")), pipeline=pipeline).collect(1, QUESTIONS, Budget())
    assert time.monotonic() - start < DEADLINE_S


async def uneven(question: Question, context: RolloutContext) -> Rollout:
    """Questions make different numbers of calls; one stops at once."""
    async with asyncio.timeout(DEADLINE_S):
        for number in range({"one": 0, "two": 1, "three": 3}[question.id]):
            await context.sample(question, Prompt((1,)), 1, sampling_round=number, role="answer")
        return await grpo(2).rollout(question, context) if question.id == "three" else Rollout(question)


def test_a_question_that_is_through_holds_up_nobody() -> None:
    engine = CountingEngine(letters)
    rollouts = collector(engine, TextReward(frozenset("a")), Scripted(uneven)).collect(1, QUESTIONS, Budget())
    assert [len(one.groups) for one in rollouts] == [0, 0, 1]
    assert len(engine.calls) == 1 + 3 + 1


def answered_once(pipeline: bool) -> list[tuple[str, int]]:
    """The questions of all processes, and how many sampling rounds each had."""
    half = igrpo(3, bare_fraction=0.4)
    asked = [Question(f"q{i}", str(i), "a") for i in range(7)]
    cycle = collector(CountingEngine(letters), TextReward(frozenset("a")), half, pipeline=pipeline)
    mine = cycle.collect(1, share(asked), Budget())
    return gather_shares([(one.question.id, len(one.rounds)) for one in mine])


@pytest.mark.parametrize("pipeline", [True, False])
def test_a_place_in_the_step_does_not_depend_on_the_processes(pipeline: bool, tmp_path: Path) -> None:
    alone = answered_once(pipeline)
    assert {rounds for _, rounds in alone} == {1, 2}
    assert in_processes(2, tmp_path, answered_once, pipeline) == [alone, alone]


def test_first_leaf_looks_into_nested_groups() -> None:
    inner = ValueError("x")
    assert first_leaf(ExceptionGroup("a", [ExceptionGroup("b", [inner, KeyError()]), OSError()])) is inner
