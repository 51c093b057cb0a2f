"""The Protocol of an inference engine: tokens in, tokens out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from igrpo.types import Completion, Prompt

#: Ends the fingerprint of a tensor as it came to an engine, where what is installed cannot be read back.
RECEIVED = ":received"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Sampling parameters. ``temperature`` 0 is greedy decoding; ``top_k`` 0 and ``top_p`` 1 disable the filters."""

    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int
    stop_token_ids: tuple[int, ...]


@runtime_checkable
class Sleeper(Protocol):
    """An engine that can free its memory for the trainer until the next request."""

    def sleep(self) -> None:
        """Free what can be rebuilt or received again. The next ``sample`` or ``sync_weights`` wakes the engine."""
        ...


@runtime_checkable
class PromptKeeper(Protocol):
    """An engine that need not compute the beginning of a prompt again that it has computed for another one."""

    def keep_prompts(self) -> AbstractContextManager[None]:
        """Keep what was computed of prompts until the end of the block, in which the weights must not change."""
        ...


@runtime_checkable
class Replicated(Protocol):
    """An engine that distributes its requests over several replicas of the model."""

    async def sample_on_every_replica(
        self, prompt_ids: Sequence[int], params: SamplingParams, seed: int
    ) -> tuple[Completion, ...]:
        """Return one completion per replica, in the order of their data-parallel ranks, all of the same seed."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Samples completions from the current policy.

    Calls are coroutines, so that the engine can batch the requests of many questions.
    The counters are cumulative: prompt tokens that went through the model, tokens returned, floating-point operations
    of both (see `igrpo.models.flops`), and wall-clock seconds in which the model was busy.
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
        """Return one completion per seed, in the order of the seeds; the same seed gives the same completion.

        Raises:
            ValueError: the prompt is empty, or prompt and new tokens do not fit the model.
        """
        ...

    def sync_weights(self, version: int) -> None:
        """Sample from the trainer's current weights from now on; samples carry ``version``.

        With several processes, all call this at the same point.
        """
        ...

    def fingerprints(self) -> Mapping[str, str]:
        """Return fingerprints of the weights in use: ``dtype:digits`` by Hugging Face name (`igrpo.models.weights`).

        Empty if the engine shares the trainer's tensors. A tensor that cannot be read back has the fingerprint of what
        was received, which ends in ``RECEIVED``, or is left out.
        """
        ...

    def close(self) -> None:
        """Release processes, sockets and memory. Safe to call twice."""
        ...


def keep_prompts(engine: Engine) -> AbstractContextManager[None]:
    """Begin a block in which ``engine`` computes common beginnings of prompts once, if it can.

    It is empty when the block begins, so that results do not depend on what was sampled before.
    """
    return engine.keep_prompts() if isinstance(engine, PromptKeeper) else nullcontext()


async def complete(
    engine: Engine, prompt: Prompt, params: SamplingParams, seeds: Sequence[int]
) -> tuple[Completion, ...]:
    """Sample completions of ``prompt``, one per seed; their texts begin with what the prompt opened."""
    completions = await engine.sample(prompt.token_ids, params, seeds)
    return tuple(replace(c, text=prompt.opened + c.text, opened=prompt.opened) for c in completions)


async def sample_on_every_replica(
    engine: Engine, prompt_ids: Sequence[int], params: SamplingParams, seed: int
) -> tuple[Completion, ...]:
    """Sample one completion from every replica of the model behind ``engine``; most engines have one."""
    if isinstance(engine, Replicated):
        return await engine.sample_on_every_replica(prompt_ids, params, seed)
    return await engine.sample(prompt_ids, params, [seed])
