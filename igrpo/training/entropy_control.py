"""Adaptive entropy control (Skywork Open Reasoner 1, arXiv 2505.22312): an entropy bonus only where entropy is low.

In step k, with e_k the entropy of the policy over the completions that are trained, and a target,

    alpha_k = c_k where e_k <= target, else 0;    c_{k+1} = c_k + step where e_k < target, c_k - step where it is above.

alpha_k weighs the entropy in the loss of step k: it is held up where it is about to collapse, and left alone elsewhere.
How it differs from the source: c stays between 0 and ``maximum``, and begins with ``objective.entropy_bonus``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from igrpo.config.parts.algorithm import ObjectiveConfig
from igrpo.distributed import gather
from igrpo.metrics.trained_stages import STAGES, trained_completions
from igrpo.types import Trace


@dataclass(slots=True)
class EntropyControl:
    """``coefficient`` is c, the controller's whole state."""

    target: float
    step: float
    maximum: float
    coefficient: float

    def control(self, traces: Sequence[Trace]) -> dict[str, float]:
        """One step: its weight (0 where nothing is trained) and its entropy, under their metrics' names.

        With several processes ``traces`` are those of this one; entropy and state are those of all.
        """
        sums, counts = zip(*gather(trained_entropy(traces)), strict=True)
        if not sum(counts):
            return {"train/entropy_coefficient": 0.0}
        entropy = math.fsum(sums) / sum(counts)
        weight = self.weight(entropy)
        self.adapt(entropy)
        return {"train/entropy": entropy, "train/entropy_coefficient": weight}

    def weight(self, entropy: float) -> float:
        """alpha: what the entropy weighs in a step whose entropy is this (nats a token)."""
        return self.coefficient if entropy <= self.target else 0.0

    def adapt(self, entropy: float) -> None:
        """Move the coefficient after a step whose entropy was this."""
        moved = self.coefficient + self.step * ((entropy < self.target) - (entropy > self.target))
        self.coefficient = min(max(moved, 0.0), self.maximum)


def entropy_control(objective: ObjectiveConfig) -> EntropyControl | None:
    """The controller at its start; None where the bonus is constant."""
    settings = objective.entropy_control
    if settings.target is None:
        return None
    return EntropyControl(settings.target, settings.step, settings.maximum, objective.entropy_bonus)


def trained_entropy(traces: Sequence[Trace]) -> tuple[float, int]:
    """The sum, in nats, and the number of measured tokens of the completions that are trained, as they were sampled."""
    kept = [trace for trace in traces if trace.dropped is None]
    trained = [pair for trace in kept for stage in STAGES for pair in trained_completions(trace, stage)]
    values = [value for completion, _ in trained for value in completion.policy_entropies or ()]
    return math.fsum(values), len(values)
