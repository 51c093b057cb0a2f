"""Rules that end a run: after its last step, or at the first rollout boundary where a ``budget`` limit is reached.

The rules use only the metrics that a step logs, so the command line can determine from metrics.jsonl where a run ends.
This module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from igrpo.settings.trainer import BudgetConfig

#: Phases that ``budget.max_seconds`` excludes: their frequency depends on settings, not on the method.
NOT_TRAINING = ("evaluation", "checkpoint")


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """Rule that ends a run after ``steps`` rollout steps, or earlier if one of the ``limits`` is reached."""

    steps: int
    limits: BudgetConfig

    def is_last(self, step: int, metrics: Mapping[str, float]) -> bool:
        """True if the run ends after ``step``. ``metrics`` holds the cumulative counters of that step."""
        return step >= self.steps or reached(self.limits, metrics) is not None

    def stopped_by(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """Return the setting that ends the run before its last step, such as ``budget.max_samples``, or None."""
        return None if step >= self.steps else reached(self.limits, metrics)


def reached(limits: BudgetConfig, metrics: Mapping[str, float]) -> str | None:
    """Return the setting of the first limit that the counters (``Budget.metrics``) have reached, or None."""
    for name, limit in limits.model_dump(exclude_none=True).items():
        counter = name.removeprefix("max_")
        spent = training_seconds(metrics) if counter == "seconds" else metrics[f"budget/{counter}"]
        if spent >= limit:
            return f"budget.{name}"
    return None


def training_seconds(metrics: Mapping[str, float]) -> float:
    """Return the seconds of all phases except evaluation and checkpoint."""
    phases = (name.removeprefix("seconds/") for name in metrics if name.startswith("seconds/"))
    return math.fsum(metrics[f"seconds/{phase}"] for phase in phases if phase not in NOT_TRAINING)


def first_stop(limits: BudgetConfig, lines: Iterable[Mapping[str, float]]) -> tuple[int, str] | None:
    """Return the step and the setting at which the limits end a run with these metrics.jsonl lines, or None."""
    if not limits.model_dump(exclude_none=True):
        return None  # do not read the lines: they may be a whole file
    for line in lines:
        if "budget/samples" in line:  # a training step, not an evaluation
            setting = reached(limits, line)
            if setting is not None:
                return int(line["step"]), setting
    return None
