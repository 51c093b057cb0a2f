"""Coroutines that run together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

_R = TypeVar("_R")


async def together(calls: Sequence[Coroutine[Any, Any, _R]]) -> list[_R]:
    """Return all results in order. The first error cancels the other calls and is raised itself, not in a group."""
    if len(calls) == 1:
        return [await calls[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
