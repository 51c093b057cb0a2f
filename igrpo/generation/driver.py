"""The background task that decodes the requests of all callers, and its error handling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any


class Driver:
    """Runs the decoding task in the event loop of the caller.

    The task ends when no request is left, so each event loop starts a fresh one.
    """

    def __init__(
        self, drive: Callable[[], Coroutine[Any, Any, None]], abandon: Callable[[BaseException], None], name: str
    ) -> None:
        """Store the callbacks; nothing is started yet.

        Args:
            drive: decodes until no request is left.
            abandon: fails every request with the given error; called when ``drive`` fails or is cancelled.
            name: name of the task.
        """
        self._drive, self._abandon, self._name = drive, abandon, name
        self._task: asyncio.Task[None] | None = None

    def ensure(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the task unless it is already running.

        Raises:
            RuntimeError: the task runs in another event loop.
        """
        task = self._task
        if task is not None and not task.done():
            if task.get_loop() is loop:
                return
            if not task.get_loop().is_closed():
                raise RuntimeError("the engine is in use from another event loop")
            self._abandon(RuntimeError("the event loop was closed"))
        self._task = loop.create_task(self._run(), name=self._name)

    async def _run(self) -> None:
        """Run the task and pass a failure on to all waiting callers."""
        try:
            await self._drive()
        except Exception as error:
            self._abandon(error)
        finally:
            self._abandon(asyncio.CancelledError())


def give_up(futures: Iterable[asyncio.Future[Any]], error: BaseException) -> None:
    """Fail the futures that are still pending with ``error``; futures of closed event loops are skipped."""
    for future in futures:
        if future.done() or future.get_loop().is_closed():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)
