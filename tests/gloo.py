"""A few real processes with gloo between them, for what cannot be shown in one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

_TIMEOUT_S = 60


def in_processes(world: int, folder: Path, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``function(*arguments)`` returns in each of ``world`` processes, in the order of their ranks.

    The function must be one that a fresh process can import; ``folder`` is empty, for the file where they meet.
    """
    context = multiprocessing.get_context("forkserver")  # imports once a test session, and forks no thread of pytest's
    context.set_forkserver_preload(["igrpo.training.strategies"])
    with ProcessPoolExecutor(world, mp_context=context) as pool:
        jobs = [
            pool.submit(_joined, rank, world, str(folder / "meeting"), function, arguments) for rank in range(world)
        ]
        return [job.result(timeout=_TIMEOUT_S) for job in jobs]


def _joined(rank: int, world: int, store: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    torch.set_num_threads(1)
    with group(rank, world, dist.FileStore(store, world)):
        return function(*arguments)


@contextmanager
def group(rank: int, world: int, store: Any, backend: str = "gloo") -> Iterator[None]:
    """This process as one of a group, until the end of the block."""
    timeout = timedelta(seconds=_TIMEOUT_S)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=timeout)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """This process as a group of one: what shards weights works, and each shard is the whole."""
    with group(0, 1, dist.HashStore()):
        yield
