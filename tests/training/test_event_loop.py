"""Coroutines of a step run from a script and from a notebook, whose cells run inside an event loop."""

from __future__ import annotations

import asyncio

import pytest
import torch

from igrpo.training.event_loop import run_coroutine


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    if value < 0:
        raise ValueError("negative")
    return value


def test_without_and_within_a_running_loop() -> None:
    async def cell() -> int:
        return run_coroutine(answer(2))

    assert run_coroutine(answer(1)) == 1
    assert asyncio.run(cell()) == 2


def test_errors_come_out_as_they_are() -> None:
    async def cell() -> int:
        return run_coroutine(answer(-1))

    with pytest.raises(ValueError, match="negative"):
        run_coroutine(answer(-1))
    with pytest.raises(ValueError, match="negative"):
        asyncio.run(cell())


def test_a_cell_samples_under_its_own_autocast() -> None:
    """The coroutine has a thread of its own then, and autocast belongs to a thread."""

    async def seen() -> torch.dtype:
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype

    async def cell() -> torch.dtype:
        with torch.autocast("cpu", torch.bfloat16):
            return run_coroutine(seen())

    assert asyncio.run(cell()) == torch.bfloat16

    async def plain_cell() -> torch.dtype:
        return run_coroutine(seen())

    assert asyncio.run(plain_cell()) == torch.float32
