"""The Protocol of an inference engine: tokens in, tokens out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from igrpo.types import Completion, Prompt

#: Ends the fingerprint of a tensor as it came to an engine, where what is installed cannot be read back.
RECEIVED = ":received"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to sample. ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 switch the filters off."""

    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int
    stop_token_ids: tuple[int, ...]


@runtime_checkable
class Sleeper(Protocol):
    """An engine that can give its memory to the trainer until it is asked again."""

    def sleep(self) -> None:
        """Let go of what can be made or fetched anew. The next ``sample`` or ``sync_weights`` wakes it."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Samples completions from the current policy.

    Calls are coroutines so that the engine can batch what many questions ask for at the same time.
    The counters are cumulative: prompt tokens that really went through the model, tokens that were returned, the
    floating-point operations of both (see `igrpo.models.flops`), and wall-clock seconds in which the model was busy
    with them.
    """

    @property
    def prefilled_tokens(self) -> int: ...

    @property
    def generated_tokens(self) -> int: ...

    @property
    def flops(self) -> int: ...

    @property
    def busy_seconds(self) -> float: ...

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        """One completion for each seed, in the order of the seeds; the same seed gives the same completion.

        Raises:
            ValueError: the prompt is empty, or prompt and new tokens do not fit the model.
        """
        ...

    def sync_weights(self, version: int) -> None:
        """Make the trainer's current weights the ones that are sampled from; ``version`` marks the samples.

        With several processes all of them call this at the same point.
        """
        ...

    def fingerprints(self) -> Mapping[str, str]:
        """Of the weights that this engine samples from: ``dtype:digits`` by Hugging Face name (`policy.weights`).

        Empty where the engine shares the trainer's tensors. A tensor that it cannot read back is named as it came, with
        ``RECEIVED`` at the end, or left out.
        """
        ...

    def close(self) -> None:
        """Release processes, sockets and memory. Safe to call twice."""
        ...


async def complete(
    engine: Engine, prompt: Prompt, params: SamplingParams, seeds: Sequence[int]
) -> tuple[Completion, ...]:
    """Completions of ``prompt`` from ``engine``, one per seed; their texts begin with what the prompt has opened."""
    completions = await engine.sample(prompt.token_ids, params, seeds)
    return tuple(replace(one, text=prompt.opened + one.text, opened=prompt.opened) for one in completions)
