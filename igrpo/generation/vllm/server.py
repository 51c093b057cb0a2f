"""Sampling from a vLLM server that may fail during a step; every sample still comes from the right weights.

Every seed is a separate request that names the weights it wants by a label, unique to the run and the version. The
server refuses the request unless these weights are loaded, and reports which weights generated each token. When a
connection breaks or a request is refused, the engine waits for the server, loads the current weights again, and repeats
the requests that have no answer. Answers already received are kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from igrpo.generation.base import SamplingParams
from igrpo.generation.vllm.client import LostError, VllmClient
from igrpo.generation.vllm.handover import Handover
from igrpo.generation.vllm.requests import RequestEngine, Requests, VllmSample
from igrpo.generation.vllm.supervisor import Supervisor
from igrpo.settings.rollout import VllmServerConfig
from igrpo.types import Completion

log = logging.getLogger(__name__)


class _Link:
    """State of one event loop: connections, a limit on concurrent requests, and a lock for restoring the server."""

    def __init__(self, client: VllmClient, concurrency: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.session: aiohttp.ClientSession = client.session(concurrency)
        self.slots = asyncio.Semaphore(concurrency)
        self.restoring = asyncio.Lock()
        self.users = 0


class VllmServerEngine(RequestEngine):
    """An ``Engine`` (`igrpo.generation.base`). It has no weights and cannot sample before the first ``sync_weights``.

    All processes of a training run use the same server; the main process writes the weights and has them loaded.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        config: VllmServerConfig,
        *,
        url: str,
        api_key: str | None,
        session: str,
        weights_dir: Path,
        max_model_len: int,
        server: Supervisor | None,
    ) -> None:
        """Store the settings; no request is sent yet.

        Args:
            session: a name that no other run has; the same in all processes.
            weights_dir: a folder that the server sees under the same path.
            server: the supervisor of the server, if this process runs it; ``close`` ends it.
        """
        super().__init__(Requests(model, tokenizer, max_model_len))
        self._config, self._server = config, server
        self._client = VllmClient(url, api_key, request_timeout_s=config.request_timeout_s)
        self._handover = Handover(model, self._client, config, session=session, weights_dir=weights_dir, server=server)
        self._losses = 0  # since the last sync
        self._epoch = 0  # counts restorations
        self._failure: str | None = None
        self._link: _Link | None = None
        self._busy_since = 0.0

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        """Sample completions; see ``Engine.sample``.

        Raises:
            ValueError: a parameter, a token id or a seed is out of range, or prompt and new tokens are too long.
            RuntimeError: the engine is closed or has received no weights yet, the server refuses the request, or the
                server was lost and does not come back.
        """
        return await self._sample_all(tuple(prompt_ids), params, [(seed, None) for seed in seeds])

    @property
    def replicas(self) -> int:
        """Number of data-parallel engines of the server, as it said when weights were sent to it."""
        return self._handover.engines

    async def sample_on_every_replica(
        self, prompt_ids: Sequence[int], params: SamplingParams, seed: int
    ) -> tuple[Completion, ...]:
        """Sample one completion from each of the server's engines, in the order of their data-parallel ranks.

        Raises:
            ValueError, RuntimeError: see ``sample``.
        """
        ranks = range(self.replicas) if self.replicas > 1 else (None,)
        return await self._sample_all(tuple(prompt_ids), params, [(seed, rank) for rank in ranks])

    async def _sample_all(
        self, prompt: tuple[int, ...], params: SamplingParams, requests: Sequence[tuple[int, int | None]]
    ) -> tuple[Completion, ...]:
        """Sample one completion per request; a request is a seed and the rank of an engine (None: any)."""
        version = self._accept(prompt, params, [seed for seed, _ in requests])
        async with self._linked() as link:
            tasks = [asyncio.ensure_future(self._sample_one(link, prompt, params, *request)) for request in requests]
            try:
                answers = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return tuple(self._requests.completion(prompt, params, answer, version) for answer in answers)

    def sync_weights(self, version: int) -> None:
        """Make the server load the trainer's weights. With several processes, all must call this at the same point.

        Raises:
            RuntimeError: samples are being decoded, or the server did not load the weights; raised in every process.
        """
        if self._link is not None and not self._link.loop.is_closed():
            raise RuntimeError(f"sync_weights({version}) while {self._link.users} requests are being decoded")
        self._version = None
        self._handover.send(version)
        self._version, self._losses, self._failure = version, 0, None

    def fingerprints(self) -> Mapping[str, str]:
        """Return fingerprints of the weights that the server has installed (see `igrpo.generation.vllm.worker`)."""
        return self._client.fingerprints()

    def close(self) -> None:
        """Delete the weights file, and stop the server if this process runs it. Safe to call twice."""
        self._closed = True
        self._handover.close()
        if self._server is not None:
            self._server.close()

    @asynccontextmanager
    async def _linked(self) -> AsyncIterator[_Link]:
        """Provide the connections of this event loop, and close them after their last user.

        Every rollout has its own event loop.
        """
        link = self._link
        if link is None or link.loop.is_closed():
            link = self._link = _Link(self._client, self._config.concurrency)
            self._busy_since = time.perf_counter()
        elif link.loop is not asyncio.get_running_loop():
            raise RuntimeError("the engine is in use from another event loop")
        link.users += 1
        try:
            yield link
        finally:
            link.users -= 1
            if link.users == 0:
                self._link = None
                self.busy_seconds += time.perf_counter() - self._busy_since
                await link.session.close()

    async def _sample_one(
        self, link: _Link, prompt: tuple[int, ...], params: SamplingParams, seed: int, rank: int | None
    ) -> VllmSample:
        """Repeat the request until it is answered or refused, or the engine stops waiting for the server."""
        label = self._handover.label
        assert label is not None
        while True:
            async with link.slots:
                async with link.restoring:  # send no requests while the server is being restored
                    epoch = self._epoch
                if self._failure is not None:
                    raise RuntimeError(self._failure)
                try:
                    return await self._client.sample(link.session, prompt, params, seed, label, rank=rank)
                except LostError as error:
                    reason = str(error)
            await self._restore(link, epoch, reason)

    async def _restore(self, link: _Link, epoch: int, reason: str) -> None:
        """Restore the lost server; the first caller does it, and the others wait."""
        async with link.restoring:
            if self._failure is not None:
                raise RuntimeError(self._failure)
            if self._epoch != epoch:
                return
            self._losses += 1
            if self._losses > self._config.max_restarts:
                self._failure = (
                    f"the vLLM server was lost {self._losses} times in one step (rollout.max_restarts="
                    f"{self._config.max_restarts}), the last time because: {reason}"
                )
                raise RuntimeError(self._failure)
            log.warning("the vLLM server was lost (%s): waiting for it", reason)
            try:
                await asyncio.to_thread(self._handover.restore, reason)
            except asyncio.CancelledError:
                self._handover.give_up()
                raise
            except RuntimeError as error:
                self._failure = str(error)
                raise
            self._epoch += 1
            log.warning("the vLLM server is back, with the weights of version %s", self._version)
