"""BatchBarrier: bit-equal samples whatever the rewards' timing, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest
from transformers import PreTrainedTokenizerFast

from igrpo.generation.base import Engine, SamplingParams
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.generation.local.engine import LocalEngine
from igrpo.types import Completion
from tests.fake_engine import FakeEngine

from .conftest import EOS, make_model, params, rule_out

WORKERS = 6
Delay = Callable[[int, int], Awaitable[None]]


async def two_stages(engine: Engine, delay: Delay) -> list[tuple[Completion, ...]]:
    """Every question drafts, is scored for as long as ``delay`` says, refines; each third one stops after its drafts."""
    barrier = engine if isinstance(engine, BatchBarrier) else None

    async def question(i: int) -> tuple[Completion, ...]:
        try:
            await delay(i, 0)
            prompt = [1, *range(4, 6 + 2 * i)]
            drafts = await engine.sample(prompt, params(max_new_tokens=8 + i), [10 * i, 10 * i + 1])
            await delay(i, 1)
            if i % 3 == 2:
                return drafts
            longer = [*prompt, *drafts[0].token_ids]
            return drafts + await engine.sample(longer, params(max_new_tokens=16), [10 * i + 2, 10 * i + 3])
        finally:
            if barrier:
                barrier.unregister()

    return await asyncio.wait_for(asyncio.gather(*(question(i) for i in range(WORKERS))), 60)  # type: ignore[return-value]


async def one_sample(barrier: BatchBarrier, seed: int) -> None:
    """A worker that asks for one sample."""
    try:
        await barrier.sample([1], params(), [seed])
    finally:
        barrier.unregister()


def jitter(seed: int) -> Delay:
    delays = random.Random(seed)

    async def delay(_question: int, _stage: int) -> None:
        for _ in range(delays.randrange(12)):
            await asyncio.sleep(0)
        await asyncio.sleep(delays.random() / 100)

    return delay


@pytest.fixture
def lone_engine(tokenizer: PreTrainedTokenizerFast) -> LocalEngine:
    model = make_model()
    rule_out(model, EOS)  # full lengths: many waves overlap
    return LocalEngine(model, tokenizer, max_batch_rows=8)  # fewer than a wave's 12


def test_timing_changes_no_bit(lone_engine: LocalEngine) -> None:
    runs = [asyncio.run(two_stages(BatchBarrier(lone_engine, WORKERS), jitter(seed))) for seed in range(5)]
    assert all(run == runs[0] for run in runs[1:])  # floats compared exactly


class SlowEngine(FakeEngine):
    """An engine that records the seeds of its requests, answers after different times, and can fail."""

    def __init__(self, fails_on: int = -1) -> None:
        super().__init__(prefilled_tokens=3, generated_tokens=4, flops=6, busy_seconds=5.0)
        self.asked: list[int] = []
        self.fails_on = fails_on

    async def sample(
        self, prompt_ids: Sequence[int], _params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        self.asked.append(seeds[0])
        await asyncio.sleep(0.001 * (seeds[0] * 7 % 5))
        if seeds[0] == self.fails_on:
            raise OSError("gone")
        ids = tuple(range(4, 4 + 3))
        return (Completion(ids, "", (0.0,) * 3, (0.0,) * 3, (0.0,) * 3, "length", 0),) * len(seeds)

    def sync_weights(self, version: int) -> None:
        self.version = version

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("seed", range(4))
def test_waves_come_whole_and_in_the_order_of_the_seeds(seed: int) -> None:
    recorder = SlowEngine()
    asyncio.run(two_stages(BatchBarrier(recorder, WORKERS), jitter(seed)))
    assert recorder.asked == [0, 10, 20, 30, 40, 50, 2, 12, 32, 42]


def test_without_the_barrier_the_order_depends_on_timing() -> None:
    orders = set()
    for seed in range(4):
        recorder = SlowEngine()
        asyncio.run(two_stages(recorder, jitter(seed)))
        orders.add(tuple(recorder.asked))
    assert len(orders) > 1


def test_a_worker_that_fails_or_ends_early_holds_up_nobody() -> None:
    barrier = BatchBarrier(SlowEngine(fails_on=1), 4)

    async def worker(i: int) -> str:
        try:
            if i == 3:
                await asyncio.sleep(0.01)
                raise KeyError("its reward died")
            for wave in range(2):
                await barrier.sample([1], params(), [10 * wave + i])
            return "through"
        finally:
            barrier.unregister()

    async def everyone() -> list[object]:
        return await asyncio.wait_for(asyncio.gather(*(worker(i) for i in range(4)), return_exceptions=True), 60)

    results = asyncio.run(everyone())
    assert [result if result == "through" else type(result) for result in results] == [
        "through",
        OSError,
        "through",
        KeyError,
    ]


def test_a_cancelled_worker_is_not_waited_for() -> None:
    recorder = SlowEngine()
    barrier = BatchBarrier(recorder, 3)

    async def scene() -> None:
        tasks = [asyncio.ensure_future(one_sample(barrier, i)) for i in range(2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0.01)
        assert recorder.asked == []  # the third may still come
        await asyncio.wait_for(asyncio.gather(tasks[1], one_sample(barrier, 2)), 60)

    asyncio.run(scene())
    assert recorder.asked == [1, 2]


def test_cancelled_between_the_last_call_and_the_opening() -> None:
    """The wave is complete and about to open when one of it is cancelled: the others go on."""
    recorder = SlowEngine()
    barrier = BatchBarrier(recorder, 3)

    async def scene() -> None:
        tasks = [asyncio.ensure_future(one_sample(barrier, i)) for i in range(3)]
        await asyncio.sleep(0)  # all have asked, nothing has opened
        assert recorder.asked == []
        tasks[0].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

    asyncio.run(scene())
    assert recorder.asked == [1, 2]


def test_a_cancelled_worker_that_still_lives_is_waited_for() -> None:
    """It may ask again: until it does, or leaves, the wave is not whole."""
    recorder = SlowEngine()
    barrier = BatchBarrier(recorder, 2)

    async def impatient() -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await barrier.sample([1], params(), [7])
            await asyncio.sleep(0.01)
            assert recorder.asked == []
            await barrier.sample([1], params(), [8])
        finally:
            barrier.unregister()

    async def patient(other: asyncio.Task[None]) -> None:
        try:
            other.cancel()
            await barrier.sample([1], params(), [9])
        finally:
            barrier.unregister()

    async def scene() -> None:
        first = asyncio.ensure_future(impatient())
        await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(first, patient(first)), 5)

    asyncio.run(scene())
    assert recorder.asked == [8, 9]


def test_it_is_an_engine_and_passes_on_the_rest() -> None:
    recorder = SlowEngine()
    barrier = BatchBarrier(recorder, 1)
    assert isinstance(barrier, Engine)
    barrier.sync_weights(9)
    barrier.close()
    assert (recorder.version, recorder.closed) == (9, True)
    assert (barrier.prefilled_tokens, barrier.generated_tokens, barrier.flops) == (3, 4, 6)
    assert barrier.busy_seconds == 5.0
    with pytest.raises(ValueError, match="workers=0"):
        BatchBarrier(recorder, 0)
