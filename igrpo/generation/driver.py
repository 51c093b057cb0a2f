"""The one task that decodes for everybody who waits: who starts it, and what becomes of them when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any


class Driver:
    """A task of the event loop that asks. It ends when nothing is left, so every loop starts a fresh one."""

    def __init__(
        self, drive: Callable[[], Coroutine[Any, Any, None]], abandon: Callable[[BaseException], None], name: str
    ) -> None:
        """Starts nothing yet.

        Args:
            drive: decodes until no request is left.
            abandon: gives up every request, for the error that it gets; called where ``drive`` fails or is cancelled.
            name: of the task.
        """
        self._drive, self._abandon, self._name = drive, abandon, name
        self._task: asyncio.Task[None] | None = None

    def ensure(self, loop: asyncio.AbstractEventLoop) -> None:
        """See that it runs.

        Raises:
            RuntimeError: it runs in another loop.
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
        """A failure goes to all who wait."""
        try:
            await self._drive()
        except Exception as error:
            self._abandon(error)
        finally:
            self._abandon(asyncio.CancelledError())


def give_up(futures: Iterable[asyncio.Future[Any]], error: BaseException) -> None:
    """Tell who still waits, in a loop that still runs, that ``error`` ended it."""
    for future in futures:
        if future.done() or future.get_loop().is_closed():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)
