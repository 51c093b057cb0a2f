"""The last step of a model: from the product of hidden states and output embedding to the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

#: Settings by which families multiply their logits (1) or divide them (-1).
_FACTORS: Final = {
    "logit_scale": 1,  # Cohere
    "lm_head_multiplier": 1,  # Falcon-H1
    "logits_scaling": -1,  # Granite, MiniCPM3
    "logits_mup_width_multiplier": -1,  # Inkling
}
#: Families in which a setting has the opposite meaning.
_INVERTED: Final = {("hyperclovax", "logits_scaling")}
#: Settings of a cap, ``cap * tanh(logits / cap)``: Gemma 2 and others, RecurrentGemma, xLSTM.
_CAPS: Final = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")


@dataclass(frozen=True, slots=True)
class LogitTransform:
    """Multiply the output of the head by ``scale``, then cap it smoothly at ``softcap`` (None: no cap)."""

    scale: float = 1.0
    softcap: float | None = None

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the logits."""
        logits = outputs if self.scale == 1 else outputs * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


def logit_transform(model: Any) -> LogitTransform:
    """Read the transform from a model's configuration; `igrpo.training.forward.check_head` verifies it."""
    config = model.config.get_text_config()
    scale = 1.0
    for name, power in _FACTORS.items():
        value = getattr(config, name, None)
        if value is not None:
            inverted = (config.model_type, name) in _INVERTED
            scale *= float(value) ** (-power if inverted else power)
    caps = [float(value) for name in _CAPS if (value := getattr(config, name, None)) is not None]
    return LogitTransform(scale, caps[0] if caps else None)
