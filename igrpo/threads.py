"""The number of torch's threads, for a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` CPU threads in a block, and as many as before after it.

    By default torch uses one thread per core. On a small model, or on a machine that does other work, too, further
    threads wait for each other longer than they work.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
