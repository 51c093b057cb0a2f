"""Interface of judge backends: a server with OpenAI's chat API, or an engine in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from igrpo.rewards.base import RewardError
from igrpo.rewards.judge.prompt import Message


class JudgeError(RewardError):
    """The judge does not answer, and trying again will not help; the message names the setting to change."""


class JudgeRefusedError(RuntimeError):
    """The judge rejects this request (for example as too long); it may accept others."""


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """Reply of the judge. ``text`` is None if the model wrote nothing; ``retries`` counts the failed tries."""

    text: str | None
    input_tokens: int
    output_tokens: int
    retries: int = 0


class Backend(Protocol):
    """Sends requests to the judge. All calls come from the same event loop."""

    @property
    def identity(self) -> str:
        """Everything besides the messages and the seed that determines a reply: model and sampling settings.

        It is part of the cache key.
        """
        ...

    async def ask(self, messages: Sequence[Message], seed: int) -> JudgeReply:
        """Request one reply.

        Raises:
            JudgeRefusedError: the judge rejects this request.
            JudgeError: the judge answers no requests.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and free memory. Called from the same event loop as ``ask``."""
        ...
