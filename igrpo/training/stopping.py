"""When a run ends: after its last step, or at the first rollout boundary where a limit of ``budget`` is reached.

Everything is decided on the metrics that a step logs, so the command line can tell from metrics.jsonl where a run ends.
Light: imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from igrpo.config.schema import BudgetConfig

#: Phases that ``budget.max_seconds`` leaves out: how often they come is a matter of settings, not of the method.
NOT_TRAINING = ("evaluation", "checkpoint")


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """``steps`` rollout steps at most, fewer where a limit is reached before."""

    steps: int
    limits: BudgetConfig

    def is_last(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Whether the run ends after ``step``, whose cumulative counters are in ``metrics``."""
        return step >= self.steps or reached(self.limits, metrics) is not None

    def stopped_by(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """The setting that ends the run before its last step, such as ``budget.max_samples``; None: no limit does."""
        return None if step >= self.steps else reached(self.limits, metrics)


def reached(limits: BudgetConfig, metrics: Mapping[str, float]) -> str | None:
    """The first limit that the counters (``Budget.metrics``) have come to, by the name of its setting."""
    for name, limit in limits.model_dump(exclude_none=True).items():
        counter = name.removeprefix("max_")
        spent = training_seconds(metrics) if counter == "seconds" else metrics[f"budget/{counter}"]
        if spent >= limit:
            return f"budget.{name}"
    return None


def training_seconds(metrics: Mapping[str, float]) -> float:
    """Seconds of all phases but evaluation and checkpoint."""
    phases = (name.removeprefix("seconds/") for name in metrics if name.startswith("seconds/"))
    return math.fsum(metrics[f"seconds/{phase}"] for phase in phases if phase not in NOT_TRAINING)


def first_stop(limits: BudgetConfig, lines: Iterable[Mapping[str, float]]) -> tuple[int, str] | None:
    """Where a run with these ``lines`` of metrics.jsonl would have ended: the step, and the setting. None: nowhere."""
    if not limits.model_dump(exclude_none=True):
        return None  # lines may be a whole file
    for line in lines:
        if "budget/samples" in line:  # of a training step, not of an evaluation
            setting = reached(limits, line)
            if setting is not None:
                return int(line["step"]), setting
    return None
