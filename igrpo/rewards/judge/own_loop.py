"""Event loop in its own thread.

A reward is called from the caller's event loop, and every rollout has a different one. Connections, semaphores and
engines, however, belong to a single loop. The judge therefore does all of its work in one loop, and callers wait for
the result in theirs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class OwnLoop:
    """Runs coroutines for callers in any thread and any event loop. The thread starts with the first coroutine."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. Cancelling the caller cancels the coroutine."""
        future = asyncio.run_coroutine_threadsafe(_outcome(coroutine), self._started())
        result = await asyncio.wrap_future(future)
        if isinstance(result, _Raised):
            raise result.error
        return result

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Cancel running coroutines, run ``last``, then end the thread. Safe to call twice."""
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
    """Return an error instead of raising it, since asyncio logs raised errors that no caller retrieves."""
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
    """Run coroutines concurrently; return results in order. The first error cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except ExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return [task.result() for task in tasks]
