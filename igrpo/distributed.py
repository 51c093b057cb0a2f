"""Communication between the processes of a training run; every function also works in a single process.

These functions exchange small Python objects on the CPU. Weights and gradients are not exchanged here.
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
    """Join the process group that torchrun started. A collective that takes longer than ``timeout_s`` fails."""
    import torch

    if cuda:
        torch.cuda.set_device(local_rank())
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))


def world() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Return the rank of this process on its node, which is the index of its device."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else 0


def is_main() -> bool:
    """True in the main process, which writes files, logs and prints."""
    return rank() == 0


def share(items: Sequence[T]) -> list[T]:
    """Return this process's items: every ``world()``-th one, starting with the ``rank()``-th."""
    return list(items[rank() :: world()])


def gather_shares(mine: Sequence[T]) -> list[T]:
    """Gather the items that each process made from its ``share``: all items in the original order, in every process."""
    shares = gather(list(mine))
    longest = max(len(part) for part in shares)
    return [part[i] for i in range(longest) for part in shares if i < len(part)]


def positions(count: int) -> tuple[int, list[int]]:
    """Return the number of items of all processes, and the positions of this process's ``count`` items among them.

    The order is that of ``gather_shares``. Counts may differ between processes, if a share has lost items.
    """
    counts, mine = gather(count), rank()
    return sum(counts), [
        sum(min(other, i) for other in counts) + sum(other > i for other in counts[:mine]) for i in range(count)
    ]


def shares_at_main(mine: Sequence[T]) -> list[T] | None:
    """Gather shares like ``gather_shares``, but in the main process only; return None in the others."""
    if world() == 1:
        return list(mine)
    shares: list[list[T]] | None = [[] for _ in range(world())] if is_main() else None
    dist.gather_object(list(mine), shares)
    if shares is None:
        return None
    longest = max(len(part) for part in shares)
    return [part[i] for i in range(longest) for part in shares if i < len(part)]


def gather(value: T) -> list[T]:
    """Return the values of all processes, in the order of their ranks."""
    if world() == 1:
        return [value]
    values: list[T] = [value] * world()
    dist.all_gather_object(values, value)
    return values


def from_main(value: T) -> T:
    """Return the main process's value in every process."""
    if world() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def barrier() -> None:
    """Wait until every process has called this."""
    gather(None)


@contextmanager
def main_first() -> Iterator[None]:
    """Run the block in the main process first, so that the other processes find what it has cached."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()
