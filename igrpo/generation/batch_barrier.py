"""A barrier in front of an engine, for runs that must repeat bit by bit.

The last bits of a sample depend on which other samples share its decode batch, and how long a reward takes decides
which do. The barrier therefore holds the requests of all questions until every question that is not finished has made
a request, and passes them to the engine together, in a fixed order. The contents of a batch then depend on the seeds
alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from igrpo.generation.base import Engine, SamplingParams
from igrpo.types import Completion

_Order = tuple[tuple[int, ...], tuple[int, ...]]


class BatchBarrier:
    """An ``Engine`` that passes the requests of ``workers`` coroutines on in waves. One instance serves one rollout.

    Each worker calls ``sample`` any number of times, one call at a time, and ``unregister`` once when it has finished,
    in a ``finally``: a worker that does neither would block the others for ever. Within a wave, requests are ordered by
    their seeds, then by their prompts.
    """

    def __init__(self, engine: Engine, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: must be at least 1")
        self._engine = engine
        self._workers = workers
        self._held: list[tuple[_Order, asyncio.Future[None]]] = []
        self._opening = False

    @property
    def prefilled_tokens(self) -> int:
        """See ``Engine``."""
        return self._engine.prefilled_tokens

    @property
    def generated_tokens(self) -> int:
        """See ``Engine``."""
        return self._engine.generated_tokens

    @property
    def flops(self) -> int:
        """See ``Engine``."""
        return self._engine.flops

    @property
    def busy_seconds(self) -> float:
        """See ``Engine``."""
        return self._engine.busy_seconds

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        """Sample as the engine does, once every other registered worker waits here too."""
        loop = asyncio.get_running_loop()
        released: asyncio.Future[None] = loop.create_future()
        entry = ((tuple(seeds), tuple(prompt_ids)), released)
        self._held.append(entry)
        self._open_if_complete(loop)
        try:
            await released
        except asyncio.CancelledError:
            if entry in self._held:
                self._held.remove(entry)
            raise
        # Woken one after the other, in order: the engine receives the whole wave before it starts to decode.
        return await self._engine.sample(prompt_ids, params, seeds)

    def register(self, count: int = 1) -> None:
        """Add workers, such as those that make several requests of one worker at the same time."""
        self._workers += count

    def unregister(self, count: int = 1) -> None:
        """Remove workers, which have finished or failed, so that the others no longer wait for them."""
        assert self._workers >= count, "more workers unregistered than there were"
        self._workers -= count
        if self._held:
            self._open_if_complete(asyncio.get_running_loop())

    def sync_weights(self, version: int) -> None:
        """See ``Engine``."""
        self._engine.sync_weights(version)

    def fingerprints(self) -> Mapping[str, str]:
        """See ``Engine``."""
        return self._engine.fingerprints()

    def close(self) -> None:
        """See ``Engine``."""
        self._engine.close()

    def _open_if_complete(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not at once: the last request, too, must wait until the wave is released in order.
        if len(self._held) >= self._workers and not self._opening:
            self._opening = True
            loop.call_soon(self._open)

    def _open(self) -> None:
        self._opening = False
        if len(self._held) < self._workers:
            return  # one was cancelled meanwhile; its unregister() comes
        wave, self._held = sorted(self._held, key=lambda entry: entry[0]), []
        for _, released in wave:
            if not released.done():
                released.set_result(None)
