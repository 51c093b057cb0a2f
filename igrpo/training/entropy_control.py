"""Adaptive entropy control (Skywork Open Reasoner 1, arXiv 2505.22312): an entropy bonus only while entropy is low.

In step k, let e_k be the entropy of the policy over the trained completions. Given a target,

    alpha_k = c_k if e_k <= target, else 0;    c_{k+1} = c_k + step if e_k < target, c_k - step if e_k > target.

alpha_k is the weight of the entropy bonus in the loss of step k. The bonus counteracts a collapse of the entropy and is
0 otherwise. Difference from the source: c stays between 0 and ``maximum``, and starts at ``objective.entropy_bonus``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from igrpo.distributed import gather
from igrpo.metrics.trained import trained_samples
from igrpo.settings.objective import ObjectiveConfig
from igrpo.types import Rollout


@dataclass(slots=True)
class EntropyControl:
    """Controller of the entropy bonus. Its only state is ``coefficient`` (c)."""

    target: float
    step: float
    maximum: float
    coefficient: float

    def control(self, rollouts: Sequence[Rollout]) -> dict[str, float]:
        """Process one step; return its bonus weight and its entropy under their metric names.

        If nothing is trained, the weight is 0 and there is no entropy. With several processes, ``rollouts`` are those
        of this process; the entropy and the state are computed over all processes.
        """
        sums, counts = zip(*gather(trained_entropy(rollouts)), strict=True)
        if not sum(counts):
            return {"train/entropy_coefficient": 0.0}
        entropy = math.fsum(sums) / sum(counts)
        weight = self.weight(entropy)
        self.adapt(entropy)
        return {"train/entropy": entropy, "train/entropy_coefficient": weight}

    def weight(self, entropy: float) -> float:
        """Return alpha, the bonus weight of a step with this entropy (nats per token)."""
        return self.coefficient if entropy <= self.target else 0.0

    def adapt(self, entropy: float) -> None:
        """Update the coefficient after a step with this entropy."""
        moved = self.coefficient + self.step * ((entropy < self.target) - (entropy > self.target))
        self.coefficient = min(max(moved, 0.0), self.maximum)


def entropy_control(objective: ObjectiveConfig) -> EntropyControl | None:
    """Return a new controller, or None if the bonus is constant."""
    settings = objective.entropy_control
    if settings.target is None:
        return None
    return EntropyControl(settings.target, settings.step, settings.maximum, objective.entropy_bonus)


def trained_entropy(rollouts: Sequence[Rollout]) -> tuple[float, int]:
    """Return the entropy sum (nats) and the number of measured tokens of the trained completions, as sampled."""
    trained = [sample for rollout in rollouts if rollout.dropped is None for sample in trained_samples(rollout)]
    values = [value for sample in trained for value in sample.completion.policy_entropies or ()]
    return math.fsum(values), len(values)
