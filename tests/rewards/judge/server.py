"""A small server of OpenAI's chat API that answers by a script, and misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Answer:
    """``content`` is the message's; ``body`` replaces the whole answer. ``hang``: no answer; ``drip``: a byte at a time."""

    content: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    hang: bool = False
    delay: float = 0.0
    drip: bool = False
    usage: tuple[int, int] | None = (100, 10)


Script = Callable[[dict[str, Any], int], Answer]


def score(value: float) -> Answer:
    return Answer(json.dumps({"reason": "so", "score": value}))


def in_turn(*answers: Answer) -> Script:
    """The answers one after the other; the last for all that follow."""
    return lambda body, number: answers[min(number, len(answers) - 1)]


class JudgeServer:
    """Runs in a thread from ``with`` to its end. ``requests`` are the bodies, ``keys`` the authorization headers."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.at_once = self.most_at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> JudgeServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _end(self) -> None:
        """On a slow machine requests may outlive aiohttp's time for them: a loop closed over them would log errors."""
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(self.requests)
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization", ""))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await asyncio.sleep(0.005)
            return await self._respond(request, self.script(body, number))
        finally:
            self.at_once -= 1

    async def _respond(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        await asyncio.sleep(answer.delay)
        if answer.hang:
            await asyncio.sleep(60)
        if answer.drip:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)
        text = answer.body
        if text is None and answer.status != 200:
            text = json.dumps({"error": {"message": f"told to answer {answer.status}"}})
        if text is None:
            message = {"role": "assistant", "content": answer.content}
            whole: dict[str, Any] = {
                "id": "1",
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message}],
            }
            if answer.usage is not None:
                whole["usage"] = {"prompt_tokens": answer.usage[0], "completion_tokens": answer.usage[1]}
            text = json.dumps(whole)
        return web.Response(status=answer.status, text=text, content_type="application/json", headers=answer.headers)
