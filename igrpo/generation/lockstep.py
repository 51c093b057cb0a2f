"""A barrier in front of an engine, for runs that must repeat bit by bit.

Who shares a decode batch moves the last bits of a sample, and a reward that takes a little longer changes who does. So
the requests of all questions are held back until every question that is still alive has made one; then they go to the
engine together, in an order of their own. What a batch holds is then a function of the seeds alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from igrpo.generation.base import Engine, SamplingParams
from igrpo.types import Completion

_Order = tuple[tuple[int, ...], tuple[int, ...]]


class Lockstep:
    """An ``Engine`` for ``parties`` coroutines that advance in waves. One instance serves one rollout.

    Every party calls ``sample`` any number of times, one call at a time, and ``leave`` once when it is through, in a
    ``finally`` (a party that neither asks nor leaves would hold up the others for ever). The order within a wave is
    that of the seeds, then of the prompts.
    """

    def __init__(self, engine: Engine, parties: int) -> None:
        if parties < 1:
            raise ValueError(f"parties={parties}: must be at least 1")
        self._engine = engine
        self._parties = parties
        self._held: list[tuple[_Order, asyncio.Future[None]]] = []
        self._opening = False

    @property
    def prefilled_tokens(self) -> int:
        """The engine's."""
        return self._engine.prefilled_tokens

    @property
    def generated_tokens(self) -> int:
        """The engine's."""
        return self._engine.generated_tokens

    @property
    def flops(self) -> int:
        """The engine's."""
        return self._engine.flops

    @property
    def busy_seconds(self) -> float:
        """The engine's."""
        return self._engine.busy_seconds

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        """As the engine's, once every other live party waits here too."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        entry = ((tuple(seeds), tuple(prompt_ids)), turn)
        self._held.append(entry)
        self._open_if_complete(loop)
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._held:
                self._held.remove(entry)
            raise
        # Woken one after the other, in order: the engine hears the whole wave before it can start on it.
        return await self._engine.sample(prompt_ids, params, seeds)

    def leave(self) -> None:
        """One party is through, or has failed; the others wait for it no longer."""
        assert self._parties > 0, "more parties left than there were"
        self._parties -= 1
        if self._held:
            self._open_if_complete(asyncio.get_running_loop())

    def sync_weights(self, version: int) -> None:
        """Passed on."""
        self._engine.sync_weights(version)

    def fingerprints(self) -> Mapping[str, str]:
        """Passed on."""
        return self._engine.fingerprints()

    def close(self) -> None:
        """Passed on."""
        self._engine.close()

    def _open_if_complete(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not at once: the last to come must wait for its turn like the others.
        if len(self._held) >= self._parties and not self._opening:
            self._opening = True
            loop.call_soon(self._open)

    def _open(self) -> None:
        self._opening = False
        if len(self._held) < self._parties:
            return  # one was cancelled meanwhile; its leave() comes
        wave, self._held = sorted(self._held, key=lambda entry: entry[0]), []
        for _, turn in wave:
            if not turn.done():
                turn.set_result(None)
