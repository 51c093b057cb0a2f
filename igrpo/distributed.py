"""Several processes that train together. In a single one every function does the plain thing.

What is exchanged here are small Python objects, on the CPU; tensors of weights and gradients go their own way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


def start_process(timeout_s: float, *, cuda: bool) -> None:
    """Join the processes that torchrun has started. A collective that takes longer than ``timeout_s`` fails."""
    import torch

    if cuda:
        torch.cuda.set_device(local_rank())
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Its number on this node: the device that it uses."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else 0


def is_main() -> bool:
    """Whether this is the process that writes files, logs and talks."""
    return rank() == 0


def share(items: Sequence[T]) -> list[T]:
    """This process's items: every ``world()``-th, from the ``rank()``-th."""
    return list(items[rank() :: world()])


def gather_shares(mine: Sequence[T]) -> list[T]:
    """All items in their order, in every process, from what each made of its ``share``."""
    shares = gather(list(mine))
    longest = max(len(part) for part in shares)
    return [part[i] for i in range(longest) for part in shares if i < len(part)]


def positions(count: int) -> tuple[int, list[int]]:
    """How many items all processes have, and where the ``count`` of this one stand among them, as ``gather_shares`` has
    them in order. (A share has lost items where processes have different numbers of them.)"""
    counts, mine = gather(count), rank()
    return sum(counts), [
        sum(min(other, i) for other in counts) + sum(other > i for other in counts[:mine]) for i in range(count)
    ]


def shares_at_main(mine: Sequence[T]) -> list[T] | None:
    """As ``gather_shares``, in the main process alone; None in the others."""
    if world() == 1:
        return list(mine)
    shares: list[list[T]] | None = [[] for _ in range(world())] if is_main() else None
    dist.gather_object(list(mine), shares)
    if shares is None:
        return None
    longest = max(len(part) for part in shares)
    return [part[i] for i in range(longest) for part in shares if i < len(part)]


def gather(value: T) -> list[T]:
    """Every process's value, in the order of their ranks."""
    if world() == 1:
        return [value]
    values: list[T] = [value] * world()
    dist.all_gather_object(values, value)
    return values


def from_main(value: T) -> T:
    """The main process's value."""
    if world() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def barrier() -> None:
    """Wait until every process has come here."""
    gather(None)


@contextmanager
def main_first() -> Iterator[None]:
    """The main process runs the block before the others do, so that they find what it leaves in a cache."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()
