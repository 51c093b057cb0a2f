"""vLLM's synchronous engine in this process, stepped between the steps of the event loop.

Requests that arrive while it runs join at its next step, so drafts and refinements of many questions share its batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch

from igrpo.generation.base import SamplingParams
from igrpo.generation.driver import Driver, give_up
from igrpo.generation.vllm.environment import undisturbed_process
from igrpo.generation.vllm.in_process import read_answer, shut_down, start_engine
from igrpo.generation.vllm.requests import RequestEngine, Requests, sampling_arguments
from igrpo.phases import phase
from igrpo.types import Completion


@dataclass(eq=False, slots=True)
class _Request:
    """A call of ``sample``; ``waiting`` maps vLLM's request ids to indices of seeds."""

    prompt: tuple[int, ...]
    params: SamplingParams
    seeds: tuple[int, ...]
    future: asyncio.Future[tuple[Completion, ...]]
    waiting: dict[str, int] = field(default_factory=dict)
    completions: dict[int, Completion] = field(default_factory=dict)


class SteppedEngine(RequestEngine):
    """Base class of engines in this process; samples from the weights of version ``_version`` (None: no weights yet).

    Args:
        requests: checks requests and counts their work.
        schema: a JSON schema that constrains all samples (None: no constraint).
        arguments: arguments of ``start_engine``.
    """

    def __init__(self, requests: Requests, *, schema: Mapping[str, Any] | None = None, **arguments: Any) -> None:
        super().__init__(requests)
        self._schema = schema
        self._ids = count()
        self._live: dict[str, _Request] = {}
        self._driver = Driver(self._drive, self._abandon, "igrpo-vllm")
        self._group_is_vllms = not torch.distributed.is_initialized()
        with undisturbed_process():
            self._engine, self._can_sleep = start_engine(**arguments, constrained=schema is not None)
        self._asleep = False

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        """Sample completions; see ``Engine.sample``. Samples of a cancelled caller are aborted before the next step.

        Raises:
            ValueError: a parameter, a token id or a seed is out of range, or prompt and new tokens are too long.
            RuntimeError: the engine is closed, or has received no weights yet.
        """
        prompt, seeds = tuple(prompt_ids), tuple(seeds)
        self._accept(prompt, params, seeds)
        if not seeds:
            return ()
        self.wake()
        loop = asyncio.get_running_loop()
        self._driver.ensure(loop)
        request = _Request(prompt, params, seeds, loop.create_future())
        for index in range(len(seeds)):
            self._add(request, index)
        return await request.future

    def wake(self) -> None:
        """Allocate the memory again that ``sleep`` freed."""
        if self._asleep:
            self._engine.wake_up()
            self._asleep = False

    def close(self) -> None:
        """Fail the requests that still wait, shut vLLM down and free the memory. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._abandon(RuntimeError("the engine was closed while this request was being decoded"))
        shut_down(self._engine, group_is_vllms=self._group_is_vllms)
        self._engine = None

    def _add(self, request: _Request, index: int) -> None:
        from vllm import SamplingParams as VllmSamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        name = f"{next(self._ids)}"
        arguments = sampling_arguments(request.params, request.seeds[index])
        if self._schema is not None:
            arguments["structured_outputs"] = StructuredOutputsParams(json=dict(self._schema))
        params = VllmSamplingParams(**arguments, output_kind=RequestOutputKind.FINAL_ONLY)
        self._engine.add_request(name, {"prompt_token_ids": list(request.prompt)}, params)
        request.waiting[name] = index
        self._live[name] = request

    async def _drive(self) -> None:
        """Step until no request is left."""
        await asyncio.sleep(0)  # let all callers that are ready join the first batch
        while self._drop_cancelled():
            started = time.perf_counter()
            with phase("generate"):  # vLLM mixes prefill and decoding
                outputs = self._engine.step()
            self.busy_seconds += time.perf_counter() - started
            for output in outputs:
                self._finish(output)
            await asyncio.sleep(0)

    def _drop_cancelled(self) -> bool:
        """Abort requests whose callers are gone; return True if any work is left."""
        gone = [name for name, request in self._live.items() if request.future.done()]
        if gone:
            self._engine.abort_request(gone)
            for name in gone:
                del self._live[name]
        return bool(self._live)

    def _finish(self, output: Any) -> None:
        request = self._live.get(output.request_id)
        if request is None:
            return  # aborted meanwhile
        answer, version = read_answer(output), self._version
        assert version is not None
        if answer.finish_reason not in {"stop", "length"} or answer.versions != (str(version),):
            raise RuntimeError(
                f"vLLM ended a sample by '{answer.finish_reason}' with weights {answer.versions}, not {version}"
            )
        completion = self._requests.completion(request.prompt, request.params, answer, version)
        del self._live[output.request_id]  # not earlier: a failure above has to reach the caller
        request.completions[request.waiting[output.request_id]] = completion
        if len(request.completions) == len(request.seeds) and not request.future.done():
            request.future.set_result(tuple(request.completions[index] for index in range(len(request.seeds))))

    def _abandon(self, error: BaseException) -> None:
        """Fail every request with ``error`` and drop all their state."""
        abandoned, self._live = self._live, {}
        give_up([request.future for request in abandoned.values()], error)
        if abandoned:
            self._engine.abort_request(list(abandoned))
