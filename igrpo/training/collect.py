"""Sampling of one rollout cycle: one coroutine per question; the engine batches their requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from igrpo.algorithms.base import Algorithm, AlgorithmState, RolloutContext
from igrpo.budget import Budget
from igrpo.distributed import gather, rank, world
from igrpo.generation.base import Engine, SamplingParams, keep_prompts
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.phases import phase
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.base import Reward
from igrpo.training.dynamic_sampling import DynamicSampling
from igrpo.training.event_loop import run_coroutine
from igrpo.types import Question, Rollout


@dataclass(frozen=True, slots=True)
class Collector:
    """Runs an algorithm over the questions of a step, with a budget of ``total`` completions per question.

    With ``pipeline``, one question may be refined while another is still being drafted. Without it, a sampling round
    starts when all questions have reached it. The batches then depend on (seed, step) alone, and so do the last bits of
    every sample. ``state`` is the state of the algorithm (None: it has none). ``refill`` replaces questions without a
    training signal (None: no question is replaced).
    """

    algorithm: Algorithm
    total: int
    engine: Engine
    reward: Reward
    prompts: PromptBuilder
    params: SamplingParams
    run_seed: int
    pipeline: bool
    state: AlgorithmState | None = None
    refill: DynamicSampling | None = None

    def collect(self, step: int, questions_S: Sequence[Question], budget: Budget) -> list[Rollout]:
        """Return the rollouts of a step in the order of its questions.

        Samples, tokens, FLOPs and seconds are added to ``budget``. A replaced question precedes its replacement. The
        first exception of a question cancels the other questions and is raised unchanged.
        """
        prefilled, generated, flops = self.engine.prefilled_tokens, self.engine.generated_tokens, self.engine.flops
        busy, start = self.engine.busy_seconds, time.perf_counter()
        with phase("rollout"), keep_prompts(self.engine):
            rollouts = run_coroutine(self._collect(step, questions_S))
        elapsed, decoding = time.perf_counter() - start, self.engine.busy_seconds - busy
        budget.add_seconds("generation", decoding)
        budget.add_seconds("reward_wait", max(elapsed - decoding, 0.0))
        budget.prefilled_tokens += self.engine.prefilled_tokens - prefilled
        budget.generated_tokens += self.engine.generated_tokens - generated
        budget.flops += self.engine.flops - flops
        budget.samples += sum(len(rollout.samples) for rollout in rollouts)
        return rollouts

    async def _collect(self, step: int, questions_S: Sequence[Question]) -> list[Rollout]:
        barrier = None if self.pipeline else BatchBarrier(self.engine, len(questions_S))
        engine, questions = barrier or self.engine, sum(gather(len(questions_S)))
        context = RolloutContext(
            engine,
            self.reward,
            self.prompts,
            self.params,
            self.total,
            self.run_seed,
            step,
            questions=questions,
            state=self.state,
        )

        spare = [] if self.refill is None else self.refill.spare(step)

        async def collect_question(question_index: int, question: Question) -> list[Rollout]:
            async def ask(asked: Question) -> Rollout:
                return await self.algorithm.rollout(asked, replace(context, question_index=question_index))

            try:
                return (
                    [await ask(question)]
                    if self.refill is None
                    else await self.refill.fill(question, question_index, spare, ask)
                )
            finally:
                if barrier is not None:
                    barrier.unregister()

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(collect_question(*indexed)) for indexed in _indexed(questions_S)]
        except* Exception as errors:
            raise first_leaf(errors) from None
        return [rollout for task in tasks for rollout in task.result()]


def _indexed(mine: Sequence[Question]) -> Iterator[tuple[int, Question]]:
    """Yield this process's questions with their indices in the step (see `distributed.share`)."""
    return ((rank() + world() * i, question) for i, question in enumerate(mine))


def first_leaf(error: BaseExceptionGroup[Exception]) -> Exception:
    """Return the first exception in a (nested) exception group that is not itself a group."""
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    assert isinstance(inner, Exception)
    return inner
