"""An engine without a model, for tests that decide by themselves what is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from igrpo.generation.base import SamplingParams
from igrpo.types import Completion


@dataclass(kw_only=True)
class FakeEngine:
    """An ``Engine`` whose counters stand still; a subclass defines ``sample``."""

    prefilled_tokens: int = 0
    generated_tokens: int = 0
    flops: int = 0
    busy_seconds: float = 0.0

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        raise NotImplementedError

    def sync_weights(self, version: int) -> None: ...

    def fingerprints(self) -> dict[str, str]:
        return {}

    def close(self) -> None: ...
