"""The driver's life: one a loop, and every ending reaches who waits."""

from __future__ import annotations

import asyncio

import pytest

from igrpo.generation.driver import Driver, give_up


class Recorded:
    """A driver that waits for ``release``, and what its engine was told to give up for."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.started = 0
        self.failure = failure
        self.errors: list[BaseException] = []
        self.release = asyncio.Event()
        self.driver = Driver(self._drive, self.errors.append, "test-driver")

    async def _drive(self) -> None:
        self.started += 1
        if self.failure is not None:
            raise self.failure
        await self.release.wait()

    def words(self) -> list[str]:
        return [f"{type(error).__name__} {error}".strip() for error in self.errors]


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_one_task_until_it_ends_and_then_a_fresh_one() -> None:
    async def ask(recorded: Recorded) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            recorded.driver.ensure(loop)
            await turns()
        assert recorded.started == 1
        recorded.release.set()
        await turns()
        assert recorded.words() == ["CancelledError"]  # whoever is left behind learns of it
        recorded.driver.ensure(loop)
        await turns()
        assert recorded.started == 2

    asyncio.run(ask(Recorded()))


def test_a_failure_and_a_cancellation_reach_who_waits() -> None:
    async def fail(recorded: Recorded) -> None:
        recorded.driver.ensure(asyncio.get_running_loop())
        await turns()
        assert recorded.words() == ["ValueError boom", "CancelledError"]

    async def cancel(recorded: Recorded) -> None:
        recorded.driver.ensure(asyncio.get_running_loop())
        await turns()
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "test-driver")
        task.cancel()
        await turns()
        assert recorded.words() == ["CancelledError"]

    asyncio.run(fail(Recorded(ValueError("boom"))))
    asyncio.run(cancel(Recorded()))


def test_another_event_loop_must_wait_until_the_first_is_closed() -> None:
    recorded = Recorded()
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        recorded.driver.ensure(first)
        first.run_until_complete(turns())
        with pytest.raises(RuntimeError, match="in use from another event loop"):
            recorded.driver.ensure(second)
        assert recorded.errors == []
        (task,) = asyncio.all_tasks(first)
        first.close()
        recorded.driver.ensure(second)
        assert recorded.words() == ["RuntimeError the event loop was closed"]
        recorded.release = asyncio.Event()
        recorded.release.set()
        second.run_until_complete(turns())
        assert recorded.started == 2
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # that is what this test is about
    finally:
        first.close()
        second.close()


def test_who_has_an_answer_or_no_loop_is_left_alone() -> None:
    closed = asyncio.new_event_loop()
    gone = closed.create_future()
    closed.close()

    async def tell() -> None:
        loop = asyncio.get_running_loop()
        done, failed, cancelled = (loop.create_future() for _ in range(3))
        done.set_result(1)
        give_up([done, gone, failed], ValueError("boom"))
        give_up([cancelled], asyncio.CancelledError())
        assert (done.result(), gone.done(), cancelled.cancelled()) == (1, False, True)
        with pytest.raises(ValueError, match="boom"):
            failed.result()

    asyncio.run(tell())
