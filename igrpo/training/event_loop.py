"""Helper that runs a coroutine to completion, also inside a running event loop."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import torch

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
    return _run_in_thread(coroutine)


def _run_in_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in another thread, with this thread's context and autocast. Ctrl-C cancels it."""
    casts = [
        torch.autocast(device, torch.get_autocast_dtype(device))
        for device in ("cpu", "cuda")
        if torch.is_autocast_enabled(device)
    ]
    runner = asyncio.Runner(loop_factory=_measured_loop if measured() else None)

    def run() -> T:
        with ExitStack() as entered:
            for cast in casts:
                entered.enter_context(cast)
            return entered.enter_context(runner).run(coroutine)

    with ThreadPoolExecutor(max_workers=1) as thread:
        done = thread.submit(contextvars.copy_context().run, run)
        try:
            return done.result()
        except KeyboardInterrupt:
            with suppress(RuntimeError):  # the loop is closed: the coroutine has just ended
                loop = runner.get_loop()
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
            raise


def _measured_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop whose waiting is the phase ``reward_wait``: nothing else is waited for while sampling here."""
    selector = selectors.DefaultSelector()
    select = selector.select

    def measured_select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        with phase("reward_wait"):
            return select(timeout)

    selector.select = measured_select  # type: ignore[method-assign]
    return asyncio.SelectorEventLoop(selector)
