"""Construction of the optimizer."""

from __future__ import annotations

from typing import Any

import torch

from igrpo.messages import install
from igrpo.settings.trainer import TrainerConfig


def adamw(policy: Any, config: TrainerConfig) -> torch.optim.Optimizer:
    """Return AdamW for the parameters that require a gradient, with weight decay on matrices only.

    Raises:
        ValueError: ``trainer.optimizer=adamw_8bit`` without bitsandbytes, or without CUDA.
    """
    named = [p for p in policy.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in named if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in named if p.ndim < 2], "weight_decay": 0.0},
    ]
    settings: dict[str, Any] = {"lr": config.learning_rate, "betas": config.betas, "eps": config.adam_eps}
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, **settings)
    if any(p.device.type != "cuda" for p in named):
        raise ValueError("trainer.optimizer=adamw_8bit keeps its state on CUDA; set trainer.optimizer=adamw")
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise ValueError(
            f"trainer.optimizer=adamw_8bit needs bitsandbytes: {install('gpu')}, or set trainer.optimizer=adamw"
        ) from None
    optimizer: torch.optim.Optimizer = AdamW8bit(groups, **settings)
    return optimizer
