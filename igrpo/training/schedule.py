"""Learning rate as a function of the rollout step. A checkpoint therefore needs no scheduler state."""

from __future__ import annotations

import math

from igrpo.settings.trainer import TrainerConfig


def learning_rate(trainer: TrainerConfig, step: int) -> float:
    """Return the learning rate: linear warm-up, then constant or a cosine.

    The warm-up takes ``warmup_share`` of the steps. The cosine ends at ``minimum_lr_share`` of ``learning_rate``.

    Args:
        step: 1 for the first rollout cycle, ``trainer.steps`` for the last.
    """
    warmup = round(trainer.warmup_share * trainer.steps)
    if step <= warmup:
        return trainer.learning_rate * step / warmup
    if trainer.schedule == "constant":
        return trainer.learning_rate
    progress = (step - warmup) / max(trainer.steps - warmup, 1)
    floor = trainer.minimum_lr_share
    return trainer.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
