"""An event loop in a thread of its own.

A reward is asked from the loop of whoever scores, and every rollout has another one, while connections, semaphores and
engines belong to one loop. So all of the judge's work is done in one, and callers wait for it from theirs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class OwnLoop:
    """Runs coroutines for any thread and any event loop. The thread starts with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Cancelling the caller cancels the coroutine."""
        future = asyncio.run_coroutine_threadsafe(_outcome(coroutine), self._started())
        result = await asyncio.wrap_future(future)
        if isinstance(result, _Raised):
            raise result.error
        return result

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Cancel what still runs, then run ``last``, and end the thread. Safe to call twice."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return self._loop


class _Raised:
    def __init__(self, error: Exception) -> None:
        self.error = error


async def _outcome(coroutine: Coroutine[Any, Any, T]) -> T | _Raised:
    """An error as a value: where the caller is gone, asyncio would log that nobody took it."""
    try:
        return await coroutine
    except Exception as error:
        return _Raised(error)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _cancel_others(last: Callable[[], Awaitable[None]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last()


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, in order. The first error cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except ExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return [task.result() for task in tasks]
