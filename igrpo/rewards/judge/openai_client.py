"""Judge backend for OpenAI's chat API: a hosted model, `igrpo serve --judge`, or any other compatible server.

Temporary errors (a busy or failing server, a lost connection, a broken or late answer) are retried a bounded number of
times, with growing pauses. Permanent errors end the run with one message. If the server rejects a request after it has
answered others, that request is left unanswered.

The retries of the openai package are off: it follows a Retry-After header only up to a constant (one or two minutes,
by version) and ignores a longer one, does not limit the duration of a whole try, and does not retry a broken answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from igrpo.console import waiting
from igrpo.rewards.judge.backend import JudgeError, JudgeRefusedError, JudgeReply
from igrpo.rewards.judge.parsing import SCHEMA
from igrpo.rewards.judge.prompt import Message
from igrpo.settings.judge import JudgeConfig

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

#: Status codes of temporary errors.
_PASSING = frozenset({408, 409, 425, 429})
#: Status codes that reject a single request.
_REFUSING = frozenset({400, 413, 422})

#: Pause after the first failed try, in seconds.
_FIRST_PAUSE_S = 1.0

#: The client requires a key; servers without authentication ignore it.
_NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class _Failure:
    """Failed try: the reason, the server's Retry-After header, and whether to try again without the JSON schema."""

    reason: str
    retry_after: str | None = None
    without_schema: bool = False


class OpenAIBackend:
    """``Backend`` that sends requests to a server (see `igrpo.rewards.judge.backend`)."""

    def __init__(
        self,
        config: JudgeConfig,
        *,
        setting: str = "reward",
        trust_env: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Store the settings; no request is sent yet.

        Args:
            config: the judge's settings.
            setting: their dotted path, for messages.
            trust_env: whether proxies in the environment are used.
            sleep: waits between tries.
        """
        self._config, self._setting, self._trust_env, self._sleep = config, setting, trust_env, sleep
        self._constrained = config.structured != "off"
        self._takes_schema = config.structured == "json_schema"
        self._has_answered = False
        self._client: openai.AsyncOpenAI | None = None

    @property
    def identity(self) -> str:
        """See ``Backend.identity``. It excludes the address, since the same model may be served elsewhere."""
        config = self._config
        parts = [config.model, config.temperature, config.max_tokens, config.structured, config.extra_body]
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

    @property
    def _where(self) -> str:
        return f"{self._setting}.base_url={self._config.base_url}"

    def _learn(self, *, constrained: bool) -> None:
        """Record what an answer shows about the server."""
        self._has_answered = True
        if constrained:
            self._takes_schema = True
        elif self._constrained:
            self._constrained = False
            log.warning("the judge's server does not support JSON schemas: its replies are not constrained")

    async def _wait(self, failure: _Failure, failures: int) -> None:
        config, setting = self._config, self._setting
        if failures > config.retries:
            raise JudgeError(
                f"{self._where}: the judge gave no answer in {failures} tries, the last time because {failure.reason}; "
                f"see that it runs, or raise {setting}.retries or {setting}.timeout_s"
            )
        pause = _pause_s(failures, failure.retry_after, config.max_wait_s)
        if pause > config.max_wait_s:
            raise JudgeError(
                f"{self._where}: {failure.reason} and asks to wait for {failure.retry_after} s, more than "
                f"{setting}.max_wait_s={config.max_wait_s:g}; resume the run later, or raise it"
            )
        log.info("the judge gave no answer (%s): trying again in %.1f s", failure.reason, pause)
        with waiting(f"waiting for the judge: retry {failures} of {config.retries} in {pause:.0f} s"):
            await self._sleep(pause)

    async def _try(self, messages: Sequence[Message], seed: int, *, constrained: bool) -> JudgeReply | _Failure:
        import openai

        try:
            async with asyncio.timeout(self._config.timeout_s):
                raw = await self._opened().chat.completions.with_raw_response.create(
                    **self._body(messages, seed, constrained=constrained)
                )
        except (TimeoutError, openai.APITimeoutError):
            return _Failure(f"it took longer than {self._setting}.timeout_s={self._config.timeout_s:g}")
        except openai.APIConnectionError as error:
            return _Failure(f"there is no connection ({error.__cause__ or error})")
        except openai.APIStatusError as error:
            said = error.body["message"] if isinstance(error.body, dict) and "message" in error.body else error.message
            return self._refusal(error.status_code, error.response.headers, str(said), constrained=constrained)
        try:
            return _reply(json.loads(raw.text))
        except (ValueError, LookupError, TypeError, AttributeError):
            return _Failure("its answer is not a chat completion")

    def _refusal(self, status: int, headers: Mapping[str, str], message: str, *, constrained: bool) -> _Failure:
        setting, said = self._setting, f"it answered {status} ({message[:300]})"
        if status >= 500 or status in _PASSING:
            return _Failure(said, headers.get("retry-after"))
        if status in {401, 403}:
            raise JudgeError(
                f"{self._where}: {said}; the environment variable {self._config.api_key_env} ({setting}.api_key_env) "
                "must hold a key that it accepts"
            )
        where = f"{self._where}, {setting}.model={self._config.model}"
        if status not in _REFUSING:
            raise JudgeError(f"{where}: {said}")
        if constrained and not self._takes_schema:
            return _Failure(said, without_schema=True)
        if self._has_answered:
            raise JudgeRefusedError(said)
        raise JudgeError(
            f"{where}: {said}, to the first request; see {setting}.structured, {setting}.max_tokens_key, "
            f"{setting}.temperature and {setting}.extra_body"
        )

    def _body(self, messages: Sequence[Message], seed: int, *, constrained: bool) -> dict[str, Any]:
        config = self._config
        body: dict[str, Any] = {"model": config.model, "messages": list(messages), "seed": seed % 2**31}
        body[config.max_tokens_key] = config.max_tokens
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if constrained:
            schema = {"name": "verdict", "strict": True, "schema": SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | {"extra_body": config.extra_body}

    def _opened(self) -> openai.AsyncOpenAI:
        if self._client is None:
            import openai

            for name in ("httpx", "httpx2"):  # names in different releases; they would log every request
                logging.getLogger(name).setLevel(logging.WARNING)
            self._client = openai.AsyncOpenAI(
                base_url=self._config.base_url,
                api_key=os.environ.get(self._config.api_key_env) or _NO_KEY,
                timeout=self._config.timeout_s,
                max_retries=0,
                http_client=openai.DefaultAsyncHttpxClient(trust_env=self._trust_env),
            )
        return self._client


def _pause_s(failures: int, retry_after: str | None, longest_s: float) -> float:
    """Return the seconds to wait before the next try, after ``failures`` failures in a row.

    A Retry-After header (seconds, or a date) is followed exactly. Without one, the pause doubles with every failure, up
    to ``longest_s``, and is shortened by a random share of up to one half, so that requests do not all return at once.
    """
    text = (retry_after or "").strip()
    with suppress(ValueError):
        if not math.isnan(told := float(text)):
            return max(told, 0.0)
    with suppress(ValueError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return min(_FIRST_PAUSE_S * 2.0 ** (failures - 1), longest_s) * random.uniform(0.5, 1.0)


def _reply(answer: dict[str, Any]) -> JudgeReply:
    text = answer["choices"][0]["message"].get("content")
    if text is not None and not isinstance(text, str):
        raise TypeError("the content is no text")
    usage = answer.get("usage") or {}
    return JudgeReply(text, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
