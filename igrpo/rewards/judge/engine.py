"""Judge backend in this process: a rollout engine with a separate model that is not trained."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Literal, Protocol

from igrpo.generation.base import SamplingParams
from igrpo.models.encoding import render_chat, uses_clock
from igrpo.rewards.judge.backend import JudgeRefusedError, JudgeReply
from igrpo.rewards.judge.prompt import Message
from igrpo.types import Completion

log = logging.getLogger(__name__)


class Sampler(Protocol):
    """Part of the ``Engine`` interface that a judge uses (see `igrpo.generation.base`)."""

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]: ...

    def close(self) -> None: ...


class EngineBackend:
    """``Backend`` that samples replies from an engine (see `igrpo.rewards.judge.backend`).

    Args:
        engine: samples from the judge's weights; closed with this object.
        tokenizer: its chat template builds the prompt; without a template the messages are joined by empty lines.
        model: name of the model, for the cache key.
        params: sampling parameters.
        structured: whether the engine constrains replies to JSON, for the cache key. With ``off``, only the prompt
            asks for JSON.
        today: the date passed to chat templates that use one. None: today's date by the computer's clock.
    """

    def __init__(
        self,
        engine: Sampler,
        tokenizer: Any,
        model: str,
        params: SamplingParams,
        structured: Literal["json_schema", "off"] = "off",
        *,
        today: date | None = None,
    ) -> None:
        self._today = today or date.today()  # noqa: DTZ011 (the user's day)
        self._engine, self._tokenizer, self._model, self._params = engine, tokenizer, model, params
        self._structured = structured
        self._render: Callable[[Sequence[Message]], list[int]] = (
            self._chat if getattr(tokenizer, "chat_template", None) else self._plain
        )

    @property
    def identity(self) -> str:
        """See ``Backend.identity``."""
        params = self._params
        dated = {"today": self._today.isoformat()} if uses_clock(self._tokenizer) else {}
        parts = [self._model, params.temperature, params.max_new_tokens, self._structured, dated]
        return json.dumps(parts, sort_keys=True)

    async def ask(self, messages: Sequence[Message], seed: int) -> JudgeReply:
        """See ``Backend.ask``."""
        prompt = self._render(messages)
        try:
            (completion,) = await self._engine.sample(prompt, self._params, [seed])
        except ValueError as error:  # too long for the model
            raise JudgeRefusedError(str(error)) from error
        return JudgeReply(completion.text, len(prompt), len(completion.token_ids))

    async def aclose(self) -> None:
        """See ``Backend.aclose``."""
        self._engine.close()

    def _chat(self, messages: Sequence[Message]) -> list[int]:
        text = render_chat(self._tokenizer, messages, self._today)
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _plain(self, messages: Sequence[Message]) -> list[int]:
        return list(self._tokenizer.encode("\n\n".join(message["content"] for message in messages) + "\n"))
