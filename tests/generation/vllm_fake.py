"""A server that looks like ours from outside, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from safetensors.torch import load_file

from igrpo.models.weights import named_weights

CACHED = 2


def fake_tokens(prompt: list[int], seed: int, count: int) -> list[int]:
    """Return sampled tokens as a function of prompt and seed, without the end token 2."""
    return [4 + (sum(prompt) + 7 * seed + 3 * position) % 36 for position in range(count)]


class FakeServer:
    """Runs in a thread. ``script`` holds what happens to the next requests for samples; then they are answered.

    ``answered`` counts the answers by seed, ``asked`` the requests, ``loads`` the files that were loaded, ``transfers``
    the labels that came without one, ``ranks`` the engines that were named in requests.
    """

    def __init__(self) -> None:
        self.script: deque[str] = deque()
        self.on_request: Callable[[int], str | None] = lambda number: None
        self.key: str | None = None
        self.label: str | None = None
        self.boot = uuid.uuid4().hex
        self.asked = 0
        self.answered: Counter[int] = Counter()
        self.loads: list[str] = []
        self.tensors: dict[str, Any] = {}
        self.load_failure: str | None = None
        self.device, self.nccl, self.engines, self.workers = "cpu", False, 1, 1  # what it says of itself
        self.ranks: list[str | None] = []
        self.in_group = False
        self.transfers: list[str] = []
        self.most_at_a_time = 0
        self.down_for = 0  # status requests that get no answer
        self.dying = False
        self._at_a_time = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def has_weights_of(self, model: Any) -> bool:
        """Return True if the last weights received are exactly the model's, in bfloat16."""
        ours = {name: weight.to(torch.bfloat16) for name, weight in named_weights(model)}
        return self.tensors.keys() == ours.keys() and all(
            torch.equal(self.tensors[name], weight) for name, weight in ours.items()
        )

    def restart(self) -> None:
        """Act as a server that crashed and was started again: no weights, another boot."""
        self.label, self.boot = None, uuid.uuid4().hex
        self.in_group = False

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 24)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/igrpo/weights", self._status),
                web.post("/igrpo/weights", self._load),
                web.get("/igrpo/fingerprints", self._fingerprints),
                web.post("/igrpo/transfer/{call}", self._transfer),
                web.post("/inference/v1/generate", self._generate),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "key"}, status=401)
        return None

    async def _health(self, request: web.Request) -> web.Response:
        """503, as vLLM's while its front outlives its engine: the gate answers still."""
        return web.Response(status=503 if self.dying else 200)

    async def _status(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        if self.down_for > 0:
            self.down_for -= 1
            _cut(request)
        told = {"device": self.device, "nccl": self.nccl, "engines": self.engines, "workers": self.workers}
        return web.json_response({"boot": self.boot, "weights": self.label} | told)

    async def _load(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        if self.load_failure is not None:
            return web.json_response({"error": self.load_failure}, status=500)
        body = await request.json()
        if self.label != body["label"]:
            self.tensors = load_file(body["path"])
            self.loads.append(Path(body["path"]).name)
            self.label = body["label"]
        return web.json_response({"weights": self.label})

    async def _fingerprints(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response({"fingerprints": {"a": "float32:00"}})

    async def _transfer(self, request: web.Request) -> web.Response:
        """vLLM's own transfer: a server that was started again is in no group, and fails."""
        call, body = request.match_info["call"], await request.json()
        if call == "init":
            self.in_group = True
        elif not self.in_group:
            return web.json_response({"error": "in no group"}, status=500)
        elif call == "start":
            self.label = None
        elif call == "finish":
            self.label = body["label"]
            self.transfers.append(body["label"])
        return web.json_response({})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        self.asked += 1
        self.ranks.append(request.headers.get("X-data-parallel-rank"))
        self._at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
        try:
            return await self._behave(request)
        finally:
            self._at_a_time -= 1

    async def _behave(self, request: web.Request) -> web.StreamResponse:
        behaviour = self.on_request(self.asked) or (self.script.popleft() if self.script else "answer")
        body = await request.json()
        wanted = request.headers.get("X-Igrpo-Weights")
        if behaviour == "hang":
            await asyncio.sleep(60)
        if behaviour == "die":
            self.restart()
            _cut(request)
        if behaviour == "cut":
            _cut(request)
        if behaviour == "cut in the answer":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"choices": [')
            _cut(request)
        if behaviour.isdigit():
            return web.json_response({"error": f"scripted {behaviour}"}, status=int(behaviour))
        if wanted != self.label:
            return web.json_response({"error": "other weights"}, status=409)
        await asyncio.sleep(0.005)
        return web.json_response(self._answer(body, behaviour))

    def _answer(self, body: dict[str, Any], behaviour: str) -> dict[str, Any]:
        params = body["sampling_params"]
        tokens = fake_tokens(body["token_ids"], params["seed"], params["max_tokens"])
        if behaviour == "answer":
            self.answered[params["seed"]] += 1
        version = "another-3" if behaviour == "other version" else self.label
        spans = [{"version": version, "start": 0, "end": len(tokens)}]
        if behaviour == "two versions":
            spans = [{"version": "old", "start": 0, "end": 1}, {"version": version, "start": 1, "end": len(tokens)}]
        choice = {
            "token_ids": tokens,
            "logprobs": {"content": [{"token_id": t, "logprob": -0.5 - 0.01 * t} for t in tokens]},
            "finish_reason": "abort" if behaviour == "aborted" else "length",
            "weight_versions": spans,
        }
        return {"choices": [choice], "usage": {"prompt_tokens_details": {"cached_tokens": CACHED}}}


def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError
