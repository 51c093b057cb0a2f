"""What answers for the judge: any server of OpenAI's chat API, or an engine in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from igrpo.rewards.base import RewardError
from igrpo.rewards.judge.prompt import Message


class JudgeError(RewardError):
    """The judge does not answer, and will not; the message names the setting."""


class JudgeRefusedError(RuntimeError):
    """The judge does not take this request (too long, say); another one it may."""


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """``text`` is None where the model said nothing; ``retries`` counts the tries before the one that was answered."""

    text: str | None
    input_tokens: int
    output_tokens: int
    retries: int = 0


class Backend(Protocol):
    """Asks the judge. All calls come from one event loop, which is the backend's for life."""

    @property
    def identity(self) -> str:
        """All that decides a reply beside the messages and the seed: model and sampling. Part of the cache's key."""
        ...

    async def ask(self, messages: Sequence[Message], seed: int) -> JudgeReply:
        """One reply.

        Raises:
            JudgeRefusedError: this request will not be answered.
            JudgeError: none will be.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and free memory. In the loop of the calls."""
        ...
