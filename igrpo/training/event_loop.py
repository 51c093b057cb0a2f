"""Helper that runs a coroutine to completion, also inside a running event loop."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from igrpo.phases import measured, phase

T = TypeVar("T")


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new event loop and return its result.

    If this thread already runs an event loop (as in a notebook), use another thread and wait for it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=_measured_loop if measured() else None) as runner:
            return runner.run(coroutine)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(context.run, asyncio.run, coroutine).result()


def _measured_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop whose waiting is the phase ``reward_wait``: nothing else is waited for while sampling here."""
    selector = selectors.DefaultSelector()
    select = selector.select

    def measured_select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        with phase("reward_wait"):
            return select(timeout)

    selector.select = measured_select  # type: ignore[method-assign]
    return asyncio.SelectorEventLoop(selector)
