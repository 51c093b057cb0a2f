"""The gate in front of an engine that records its calls, called as vLLM's web server would call it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from igrpo.generation.vllm.middleware import GENERATE_PATH, WeightGate


class FakeRank:
    """One engine with one worker. It ignores the calls in ``ignores``; ``digest`` is that of the weights it gets."""

    def __init__(self, rank: int) -> None:
        self.rank, self.paused, self.version = rank, False, "default"
        self.weights: tuple[str | None, str | None] = (None, None)
        self.labels = {"a": "float32:1"}
        self.digest = "d"
        self.ignores: set[str] = set()

    def work(self, method: str, args: tuple[Any, ...]) -> Any:
        """The worker's answer to a call of ``collective_rpc``."""
        if method in self.ignores:
            return None
        if method in {"igrpo_load_file", "igrpo_adopt"}:
            self.weights = (args[1], self.digest)
        if method == "igrpo_report":
            label, digest = self.weights
            return {"data_parallel_rank": self.rank, "worker": 0, "label": label, "digest": digest}
        return self.labels if method == "igrpo_fingerprints" else None


class FakeVllm:
    """vLLM's client of ``engines`` engines: records the calls; the one named ``fails`` raises."""

    def __init__(self, engines: int = 1) -> None:
        self.calls: list[str] = []
        self.fails: str | None = None
        self.dies: str | None = None  # at this call, which vLLM then never answers
        self.errored = False
        self.ranks = [FakeRank(rank) for rank in range(engines)]
        self.answering = engines
        self.engine_core = SimpleNamespace(call_utility_all_async=self._call_all)
        self.vllm_config = SimpleNamespace(
            device_config=SimpleNamespace(device_type="cpu"),
            weight_transfer_config=None,
            parallel_config=SimpleNamespace(data_parallel_size=engines, world_size=1, world_size_across_dp=engines),
        )

    async def _call_all(self, method: str, *args: Any) -> list[Any]:
        ranks = self.ranks[: self.answering]
        if method == "collective_rpc":
            name, _, arguments, _ = args
            await self._note(name)
            return [[rank.work(name, arguments)] for rank in ranks]
        return [{"is_scheduler_paused": rank.paused, "get_weight_version": rank.version}[method] for rank in ranks]

    async def _note(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0)
        if self.fails == name:
            raise KeyError(name)
        if self.dies == name:
            self.errored = True
            await asyncio.Event().wait()

    async def pause_generation(self, *, mode: str, clear_cache: bool) -> None:
        await self._note(f"pause {mode}")
        for rank in self.ranks:
            rank.paused = "pause" not in rank.ignores

    async def resume_generation(self) -> None:
        await self._note("resume")
        for rank in self.ranks:
            rank.paused = False

    async def reset_prefix_cache(self) -> bool:
        await self._note("reset")
        return self.fails != "no reset"

    async def update_weight_version(self, version: str) -> None:
        await self._note("version")
        for rank in self.ranks:
            rank.version = rank.version if "version" in rank.ignores else version

    async def start_weight_update(self) -> None:
        await self._note("start")

    async def finish_weight_update(self) -> None:
        await self._note("finish")


class Served:
    """The gate, what is behind it, and what came back of a request."""

    def __init__(self, engines: int = 1) -> None:
        self.engine = FakeVllm(engines)
        self.reached: list[str] = []
        self.gate = WeightGate(self._behind)

    async def _behind(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope.get("path", scope["type"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, weights: str | None = None
    ) -> tuple[int, Any]:
        headers = [] if key is None else [(b"Authorization", f"Bearer {key}".encode())]
        headers += [] if weights is None else [(b"X-Igrpo-Weights", weights.encode())]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        parts = [content[: len(content) // 2], content[len(content) // 2 :]]
        sent: list[Any] = []

        async def receive() -> Any:
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        app = SimpleNamespace(state=SimpleNamespace(engine_client=self.engine))
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "app": app}
        await self.gate(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])

    def load(self, path: Path, label: str) -> tuple[int, Any]:
        return asyncio.run(self.ask("POST", "/igrpo/weights", {"path": str(path), "label": label}))

    def samples(self, weights: str | None) -> int:
        return asyncio.run(self.ask("POST", GENERATE_PATH, {}, weights=weights))[0]
