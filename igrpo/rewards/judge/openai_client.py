"""Judge backend for OpenAI's chat API: a hosted model, `igrpo serve --judge`, or any other compatible server.

Temporary errors (a busy or failing server, a lost connection, a broken or late answer) are retried a bounded number of
times, with growing pauses. Permanent errors end the run with one message. If the server rejects a request after it has
answered others, that request is left unanswered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from igrpo.rewards.judge.backend import JudgeError, JudgeRefusedError, JudgeReply
from igrpo.rewards.judge.parsing import SCHEMA
from igrpo.rewards.judge.prompt import Message
from igrpo.rewards.judge.retries import pause_s

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

#: Status codes of temporary errors.
_PASSING = frozenset({408, 409, 425, 429})
#: Status codes that reject a single request.
_REFUSING = frozenset({400, 413, 422})

#: The client requires a key; servers without authentication ignore it.
_NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of the judge, and settings of its requests. A ``temperature`` of None is not sent.

    ``timeout_s`` limits one try from its first to its last byte, ``max_wait_s`` the pause before the next try, and
    ``retries`` the number of tries after the first. ``structured``: whether replies are constrained to JSON (``auto``:
    if the server supports it).
    """

    base_url: str
    model: str
    api_key_env: str
    temperature: float | None
    max_tokens: int
    max_tokens_key: Literal["max_completion_tokens", "max_tokens"]
    structured: Literal["auto", "json_schema", "off"]
    extra_body: Mapping[str, Any]
    timeout_s: float
    retries: int
    max_wait_s: float
    trust_env: bool


@dataclass(frozen=True, slots=True)
class _Failure:
    """Failed try: the reason, the server's Retry-After header, and whether to try again without the JSON schema."""

    reason: str
    retry_after: str | None = None
    without_schema: bool = False


class OpenAIBackend:
    """``Backend`` that sends requests to a server (see `igrpo.rewards.judge.backend`)."""

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Store the settings; no request is sent yet. ``sleep`` waits between tries."""
        self._endpoint, self._sleep = endpoint, sleep
        self._constrained = endpoint.structured != "off"
        self._takes_schema = endpoint.structured == "json_schema"
        self._has_answered = False
        self._client: openai.AsyncOpenAI | None = None

    @property
    def identity(self) -> str:
        """See ``Backend.identity``. It excludes the address, since the same model may be served elsewhere."""
        end = self._endpoint
        parts = [end.model, end.temperature, end.max_tokens, end.structured, dict(end.extra_body)]
        return json.dumps(parts, sort_keys=True)

    async def ask(self, messages: Sequence[Message], seed: int) -> JudgeReply:
        """See ``Backend.ask``."""
        failures, constrained = 0, self._constrained
        while True:
            outcome = await self._try(messages, seed, constrained=constrained)
            if isinstance(outcome, JudgeReply):
                self._learn(constrained=constrained)
                return replace(outcome, retries=failures)
            if outcome.without_schema:
                constrained = False
                continue
            failures += 1
            await self._wait(outcome, failures)

    async def aclose(self) -> None:
        """See ``Backend.aclose``."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _learn(self, *, constrained: bool) -> None:
        """Record what an answer shows about the server."""
        self._has_answered = True
        if constrained:
            self._takes_schema = True
        elif self._constrained:
            self._constrained = False
            log.warning("the judge's server takes no JSON schema: its replies are not constrained")

    async def _wait(self, failure: _Failure, failures: int) -> None:
        where = f"reward.base_url={self._endpoint.base_url}"
        if failures > self._endpoint.retries:
            raise JudgeError(
                f"{where}: the judge gave no answer in {failures} tries, the last time because {failure.reason}; see "
                "that it runs, or raise reward.retries or reward.timeout_s"
            )
        pause = pause_s(failures, failure.retry_after, self._endpoint.max_wait_s)
        if pause is None:
            raise JudgeError(
                f"{where}: {failure.reason} and asks to wait for {failure.retry_after} s, more than reward.max_wait_s="
                f"{self._endpoint.max_wait_s:g}; go on later, or raise it"
            )
        log.info("the judge gave no answer (%s): trying again in %.1f s", failure.reason, pause)
        await self._sleep(pause)

    async def _try(self, messages: Sequence[Message], seed: int, *, constrained: bool) -> JudgeReply | _Failure:
        import openai

        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                raw = await self._opened().chat.completions.with_raw_response.create(
                    **self._body(messages, seed, constrained=constrained)
                )
        except (TimeoutError, openai.APITimeoutError):
            return _Failure(f"it took longer than reward.timeout_s={self._endpoint.timeout_s:g}")
        except openai.APIConnectionError as error:
            return _Failure(f"there is no connection ({error.__cause__ or error})")
        except openai.APIStatusError as error:
            said = error.body["message"] if isinstance(error.body, dict) and "message" in error.body else error.message
            return self._refusal(error.status_code, error.response.headers, str(said), constrained=constrained)
        try:
            return _reply(json.loads(raw.text))
        except (ValueError, LookupError, TypeError, AttributeError):
            return _Failure("its answer is no chat completion")

    def _refusal(self, status: int, headers: Mapping[str, str], message: str, *, constrained: bool) -> _Failure:
        end, said = self._endpoint, f"it answered {status} ({message[:300]})"
        if status >= 500 or status in _PASSING:
            return _Failure(said, headers.get("retry-after"))
        if status in {401, 403}:
            raise JudgeError(
                f"reward.base_url={end.base_url}: {said}; the environment variable {end.api_key_env} "
                "(reward.api_key_env) must hold a key that it takes"
            )
        if status not in _REFUSING:
            raise JudgeError(f"reward.base_url={end.base_url}, reward.model={end.model}: {said}")
        if constrained and not self._takes_schema:
            return _Failure(said, without_schema=True)
        if self._has_answered:
            raise JudgeRefusedError(said)
        raise JudgeError(
            f"reward.base_url={end.base_url}, reward.model={end.model}: {said}, to the first request; see "
            "reward.structured, reward.max_tokens_key, reward.temperature and reward.extra_body"
        )

    def _body(self, messages: Sequence[Message], seed: int, *, constrained: bool) -> dict[str, Any]:
        end = self._endpoint
        body: dict[str, Any] = {"model": end.model, "messages": list(messages), "seed": seed % 2**31}
        body[end.max_tokens_key] = end.max_tokens
        if end.temperature is not None:
            body["temperature"] = end.temperature
        if constrained:
            schema = {"name": "verdict", "strict": True, "schema": SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | {"extra_body": dict(end.extra_body)}

    def _opened(self) -> openai.AsyncOpenAI:
        if self._client is None:
            import openai

            for name in ("httpx", "httpx2"):  # names in different releases; they would log every request
                logging.getLogger(name).setLevel(logging.WARNING)
            end = self._endpoint
            self._client = openai.AsyncOpenAI(
                base_url=end.base_url,
                api_key=os.environ.get(end.api_key_env) or _NO_KEY,
                timeout=end.timeout_s,
                max_retries=0,
                http_client=openai.DefaultAsyncHttpxClient(trust_env=end.trust_env),
            )
        return self._client


def _reply(answer: dict[str, Any]) -> JudgeReply:
    text = answer["choices"][0]["message"].get("content")
    if text is not None and not isinstance(text, str):
        raise TypeError("the content is no text")
    usage = answer.get("usage") or {}
    return JudgeReply(text, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
