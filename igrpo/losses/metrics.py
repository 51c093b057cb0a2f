"""Metrics of the loss."""

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from igrpo.losses.accumulator import Accumulator
from igrpo.losses.aggregation import zero_masked
from igrpo.losses.kl import kl_estimate
from igrpo.settings.objective import Ratio


@dataclass(frozen=True, slots=True)
class LossMetrics(Accumulator):
    """Metrics of the loss, in its precision.

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

    def finalise(self) -> dict[str, float]:
        """Return the numbers to log. Synchronises with the device once.

        These are ``loss``, ``ratio_mean``, ``ratio_max``, ``clip_share_low``, ``clip_share_high``, ``kl_old`` and
        ``kl_reference`` (nats per token). Numbers that were not measured (no valid token, no reference) are left out.
        """
        total = self.numbers()
        units = total["units"]
        numbers = {"loss": total["loss"]}
        if units:
            numbers |= {
                "ratio_mean": total["ratio_sum"] / units,
                "ratio_max": total["ratio_max"],
                "clip_share_low": total["clipped_low"] / units,
                "clip_share_high": total["clipped_high"] / units,
                "kl_old": total["kl_old_sum"] / total["tokens"],
            }
        if total["reference_tokens"]:
            numbers["kl_reference"] = total["kl_reference_sum"] / total["reference_tokens"]
        return numbers


@torch.no_grad()
def loss_metrics(
    loss: Float[Tensor, ""],
    *,
    logprobs_BT: Float[Tensor, "B T"],
    old_logprobs_BT: Float[Tensor, "B T"],
    ref_logprobs_BT: Float[Tensor, "B T"] | None,
    mask_BT: Bool[Tensor, "B T"],
    ratio_BT: Float[Tensor, "B T"],
    below_BT: Bool[Tensor, "B T"],
    above_BT: Bool[Tensor, "B T"],
    level: Ratio,
) -> LossMetrics:
    """Measure a micro-batch. ``below_BT`` and ``above_BT`` mark the tokens whose ratio was clipped.

    The log-probs of the policy and of the old policy must be finite at masked positions.
    """
    lengths_B = mask_BT.sum(dim=-1)
    tokens = lengths_B.sum().to(loss.dtype)
    weight_BT = mask_BT.to(loss.dtype)
    units = tokens
    if level == "sequence":  # each token counts as its share of the sequence
        weight_BT = weight_BT / lengths_B.clamp(min=1).unsqueeze(-1)
        units = (lengths_B > 0).sum().to(loss.dtype)
    zero = torch.zeros_like(loss)
    nowhere = torch.full_like(zero, -inf)
    reference_tokens, kl_reference = zero, zero
    if ref_logprobs_BT is not None:
        reference_tokens = tokens
        kl_reference = zero_masked(kl_estimate(logprobs_BT, ref_logprobs_BT, "k3"), mask_BT).sum()
    return LossMetrics(
        loss=loss.detach(),
        units=units,
        ratio_sum=(ratio_BT * weight_BT).sum(),
        ratio_max=torch.cat([torch.where(mask_BT, ratio_BT, nowhere).flatten(), nowhere.view(1)]).max(),
        clipped_low=(below_BT * weight_BT).sum(),
        clipped_high=(above_BT * weight_BT).sum(),
        tokens=tokens,
        # Samples come from the old policy, so this estimates KL(old || policy) = E[r - 1 - ln r].
        kl_old_sum=zero_masked(kl_estimate(old_logprobs_BT, logprobs_BT, "k3"), mask_BT).sum(),
        reference_tokens=reference_tokens,
        kl_reference_sum=kl_reference,
    )
