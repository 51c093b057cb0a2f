"""Counters of a run's cost, the same for every algorithm."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from igrpo.phases import phase

_COUNTS = ("samples", "generated_tokens", "prefilled_tokens", "trained_tokens", "flops", "skipped_updates")


@dataclass(slots=True)
class Budget:
    """Cumulative counters of training (evaluation adds its own seconds, but no samples or tokens).

    ``prefilled_tokens`` are prompt tokens that went through the model during sampling. ``trained_tokens`` are prompt
    and completion tokens that went through forward and backward, counted once per update. ``flops`` are the operations
    of sampling and updates together, as counted by `igrpo.models.flops`.
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
        """Reset the ``step_seconds/...`` metrics."""
        self._before_step = dict(self.seconds)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the wall-clock seconds of the block to a phase, which is also one of `igrpo.phases`."""
        start = time.perf_counter()
        try:
            with phase(name):
                yield
        finally:
            self.add_seconds(name, time.perf_counter() - start)

    def add_seconds(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def counts(self) -> dict[str, int]:
        """Return the counters without the seconds."""
        return {name: getattr(self, name) for name in _COUNTS}

    def set_counts(self, counts: Mapping[str, int]) -> None:
        """Replace the counters."""
        for name in _COUNTS:
            setattr(self, name, counts[name])

    def metrics(self) -> dict[str, float]:
        """Return the counters and seconds by metric name."""
        step = {k: v - self._before_step.get(k, 0.0) for k, v in self.seconds.items()}
        return {
            **{f"budget/{name}": float(count) for name, count in self.counts().items()},
            **{f"seconds/{phase}": value for phase, value in self.seconds.items()},
            **{f"step_seconds/{phase}": value for phase, value in step.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {**self.counts(), "seconds": dict(self.seconds)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the counters of a checkpoint. A counter that an older igrpo did not save is left unchanged."""
        for name, value in state.items():
            setattr(self, name, dict(value) if name == "seconds" else value)
