"""Metrics of the loss, kept as sums and counts so that micro-batches combine exactly."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LossMetrics:
    """Detached sums over one or more micro-batches; ``+`` combines them.

    A unit is what a ratio belongs to: a valid token or, with sequence ratios, a sequence with valid tokens.
    ``kl_old_sum`` is the sum of k3 of KL(old || policy) over tokens, and ``kl_reference_sum`` that of KL(policy ||
    reference).
    """

    loss: Float[Tensor, ""]
    units: Float[Tensor, ""]
    ratio_sum: Float[Tensor, ""]
    ratio_max: Float[Tensor, ""]
    clipped_low: Float[Tensor, ""]
    clipped_high: Float[Tensor, ""]
    tokens: Float[Tensor, ""]
    kl_old_sum: Float[Tensor, ""]
    reference_tokens: Float[Tensor, ""]
    kl_reference_sum: Float[Tensor, ""]

    def __add__(self, other: "LossMetrics") -> "LossMetrics":
        return LossMetrics(
            loss=self.loss + other.loss,
            units=self.units + other.units,
            ratio_sum=self.ratio_sum + other.ratio_sum,
            ratio_max=torch.maximum(self.ratio_max, other.ratio_max),
            clipped_low=self.clipped_low + other.clipped_low,
            clipped_high=self.clipped_high + other.clipped_high,
            tokens=self.tokens + other.tokens,
            kl_old_sum=self.kl_old_sum + other.kl_old_sum,
            reference_tokens=self.reference_tokens + other.reference_tokens,
            kl_reference_sum=self.kl_reference_sum + other.kl_reference_sum,
        )

    def to(self, device: torch.device | str) -> "LossMetrics":
        """Return the same numbers on another device, in double precision."""
        values = [getattr(self, field.name).to(device, torch.float64) for field in fields(self)]
        return LossMetrics(*values)

    def finalise(self) -> dict[str, float]:
        """Return the numbers to log. Synchronises with the device once.

        These are ``loss``, ``ratio_mean``, ``ratio_max``, ``clip_share_low``, ``clip_share_high``, ``kl_old`` and
        ``kl_reference`` (nats per token). Numbers that were not measured (no valid token, no reference) are left out.
        """
        fields = (
            self.loss, self.units, self.ratio_sum, self.ratio_max, self.clipped_low, self.clipped_high,
            self.tokens, self.kl_old_sum, self.reference_tokens, self.kl_reference_sum,
        )  # fmt: skip
        loss, units, ratio, ratio_max, low, high, tokens, kl_old, ref_tokens, kl_ref = torch.stack(fields).tolist()
        numbers = {"loss": loss}
        if units:
            numbers |= {
                "ratio_mean": ratio / units,
                "ratio_max": ratio_max,
                "clip_share_low": low / units,
                "clip_share_high": high / units,
                "kl_old": kl_old / tokens,
            }
        if ref_tokens:
            numbers["kl_reference"] = kl_ref / ref_tokens
        return numbers
