"""What a run has cost so far, counted the same way for every algorithm."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_COUNTS = ("samples", "generated_tokens", "prefilled_tokens", "trained_tokens", "flops", "skipped_updates")


@dataclass(slots=True)
class Budget:
    """Cumulative counters of training (evaluation has its own seconds and counts no samples or tokens).

    ``prefilled_tokens`` are prompt tokens that really went through the model while sampling, ``trained_tokens`` the
    prompt and completion tokens that went through forward and backward, each update counted. ``flops`` are the
    operations of sampling and updates together, as `igrpo.models.flops` counts them.
    """

    samples: int = 0
    generated_tokens: int = 0
    prefilled_tokens: int = 0
    trained_tokens: int = 0
    flops: int = 0
    skipped_updates: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    _before_step: dict[str, float] = field(default_factory=dict)

    def begin_step(self) -> None:
        """From here on, ``step_seconds/...`` counts anew."""
        self._before_step = dict(self.seconds)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the wall-clock seconds of the block to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add_seconds(name, time.perf_counter() - start)

    def add_seconds(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def counts(self) -> dict[str, int]:
        """The counters without the seconds."""
        return {name: getattr(self, name) for name in _COUNTS}

    def set_counts(self, counts: Mapping[str, int]) -> None:
        """Go on from these counters."""
        for name in _COUNTS:
            setattr(self, name, counts[name])

    def metrics(self) -> dict[str, float]:
        """The counters under the names they are logged by."""
        step = {k: v - self._before_step.get(k, 0.0) for k, v in self.seconds.items()}
        return {
            **{f"budget/{name}": float(count) for name, count in self.counts().items()},
            **{f"seconds/{phase}": value for phase, value in self.seconds.items()},
            **{f"step_seconds/{phase}": value for phase, value in step.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {**self.counts(), "seconds": dict(self.seconds)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the counters of a checkpoint. One that an older igrpo did not keep stays what it is."""
        for name, value in state.items():
            setattr(self, name, dict(value) if name == "seconds" else value)
