"""The policy loss: one function whose arguments cover GRPO and related algorithms.

The surrogates of the GRPO family, where ``r`` is the importance ratio of a token or of its whole sequence:

==========  =======================================  =================================================
surrogate   per-token objective                      algorithms
==========  =======================================  =================================================
clip        min(r A, clip(r, 1 - low, 1 + high) A)   GRPO (low = high), DAPO, Dr. GRPO; GSPO (sequence)
detached    sg[clip(r, 1 - low, 1 + high)] A ln pi   CISPO (no lower bound)
reinforce   A ln pi                                  RLOO
==========  =======================================  =================================================

``kl_beta`` times the KL estimate is subtracted from the per-token objective. The loss is the negative objective,
aggregated, minus the entropy bonus (iGRPO, arXiv 2602.09000, Eq. 22-29). Rows that were sampled from another prompt
may be *shaped* instead (Critique-GRPO, arXiv 2506.03106): their per-token objective is A * pi / (pi + gamma),
whatever the surrogate of the other rows.

Differences from other libraries: nothing is clamped except by the clip itself (verl limits log-ratios to 20, GSPO's to
10), there is no dual clip, and the KL term is not weighted by the ratio (TRL's ``use_bias_correction_kl``).
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from igrpo.losses.aggregation import Aggregation, Normaliser, aggregate, batch_normaliser
from igrpo.losses.kl import KLEstimator, kl_estimate
from igrpo.losses.metrics import LossMetrics
from igrpo.losses.shaping import policy_shaping

Ratio = Literal["token", "sequence"]
Surrogate = Literal["clip", "detached", "reinforce"]


@dataclass(frozen=True, slots=True)
class LossOutput:
    """Scalar ``loss`` to call ``backward`` on, and its ``metrics``."""

    loss: Float[Tensor, ""]
    metrics: LossMetrics


def policy_loss(
    logprobs_BT: Float[Tensor, "B T"],
    old_logprobs_BT: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B"] | Float[Tensor, "B T"],
    mask_BT: Bool[Tensor, "B T"],
    *,
    ratio: Ratio,
    surrogate: Surrogate,
    clip_low: float | None,
    clip_high: float | None,
    kl_beta: float,
    kl_estimator: KLEstimator,
    ref_logprobs_BT: Float[Tensor, "B T"] | None,
    entropy_bonus: float,
    entropies_BT: Float[Tensor, "B T"] | None,
    aggregation: Aggregation,
    constant_divisor: float | None,
    normaliser: Normaliser | None,
    weights_BT: Float[Tensor, "B T"] | None = None,
    shaped_B: Bool[Tensor, "B"] | None = None,
    shaping_gamma: float | None = None,
) -> LossOutput:
    """Compute the loss of a micro-batch of B completions of up to T tokens, as its exact share of the batch's loss.

    Args:
        logprobs_BT: log-probs of the policy being trained, at the sampling temperature, in nats. The gradient flows
            through these and through ``entropies_BT``, never through the other tensors.
        old_logprobs_BT: log-probs of the policy that sampled.
        advantages: one per completion, or one per token.
        mask_BT: True at valid completion tokens. Values elsewhere, including NaN, have no effect.
        ratio: importance ratio of each ``token``, or of the ``sequence``. The sequence ratio is exp of the mean
            log-ratio of its valid tokens. Its gradient reaches token t through ln pi_t (GSPO-token, arXiv 2507.18071,
            Eq. 13-14); with one advantage per completion this is the gradient of GSPO.
        clip_low, clip_high: the ratio is clipped to [1 - clip_low, 1 + clip_high]; None: no bound on that side.
            ``reinforce`` ignores both.
        kl_beta: weight of the KL term inside the per-token loss. 0 needs no reference.
        ref_logprobs_BT: log-probs of the reference policy. If given, the KL is measured even at ``kl_beta`` 0.
        entropy_bonus: weight of the mean entropy of the batch's valid tokens, whatever the aggregation.
        entropies_BT: entropies of the policy, in nats.
        aggregation, constant_divisor: see :func:`igrpo.losses.aggregation.aggregate`.
        normaliser: denominators of the batch that this micro-batch belongs to; None: this is the whole batch.
        weights_BT: weights of the surrogate, not of the KL term and the entropy bonus; they carry no gradient. See
            :func:`igrpo.losses.mismatch.correction_weights`. None: all 1.
        shaped_B: rows whose per-token objective is ``policy_shaping`` times the advantage. None: no row is shaped.
        shaping_gamma: ``gamma`` of ``policy_shaping``; None if no row is shaped.

    Raises:
        ValueError: a negative clip, a KL term without reference log-probs, a bonus without entropies, ``constant``
            without a positive divisor, rows to shape without a positive gamma.
    """
    lower, upper = _bounds(clip_low, clip_high)
    if normaliser is None:
        normaliser = batch_normaliser(mask_BT)
    logprobs_BT = _valid(logprobs_BT, mask_BT)
    old_logprobs_BT = _valid(old_logprobs_BT.detach(), mask_BT)
    advantages_BT = (advantages if advantages.ndim == 2 else advantages.unsqueeze(-1)).detach().expand_as(logprobs_BT)

    ratio_BT = importance_ratio(logprobs_BT, old_logprobs_BT, mask_BT, level=ratio)
    below, above = ratio_BT < lower, ratio_BT > upper
    if surrogate == "clip":
        # The clipped branch is active only where it lowers the objective; there it is a constant.
        below, above = below & (advantages_BT < 0), above & (advantages_BT > 0)
        clipped_BT = torch.where(below | above, ratio_BT.detach().clamp(lower, upper), ratio_BT)
        token_loss_BT = -clipped_BT * advantages_BT
    elif surrogate == "detached":
        token_loss_BT = -ratio_BT.detach().clamp(lower, upper) * advantages_BT * logprobs_BT
    else:
        below, above = torch.zeros_like(mask_BT), torch.zeros_like(mask_BT)
        token_loss_BT = -advantages_BT * logprobs_BT
    if shaped_B is not None:
        if shaping_gamma is None:
            raise ValueError("shaped_B is given and shaping_gamma is not: shaped rows need a gamma, such as 0.1")
        shaped_B1 = shaped_B.unsqueeze(-1)
        token_loss_BT = torch.where(
            shaped_B1, -policy_shaping(logprobs_BT, shaping_gamma) * advantages_BT, token_loss_BT
        )
        below, above = below & ~shaped_B1, above & ~shaped_B1  # shaped rows are not clipped
    if weights_BT is not None:
        token_loss_BT = token_loss_BT * _valid(weights_BT.detach(), mask_BT)

    kl_BT = None
    if ref_logprobs_BT is not None:
        kl_BT = kl_estimate(logprobs_BT, ref_logprobs_BT.detach(), kl_estimator)
    if kl_beta != 0:
        if kl_BT is None:
            raise ValueError(f"kl_beta is {kl_beta}: the KL term needs ref_logprobs_BT, or set kl_beta=0")
        token_loss_BT = token_loss_BT + kl_beta * kl_BT

    loss = aggregate(
        token_loss_BT, mask_BT, aggregation=aggregation, constant_divisor=constant_divisor, normaliser=normaliser
    )
    if entropy_bonus != 0:
        if entropies_BT is None:
            raise ValueError(f"entropy_bonus is {entropy_bonus}: it needs entropies_BT, or set entropy_bonus=0")
        loss = loss - entropy_bonus * aggregate(
            entropies_BT, mask_BT, aggregation="token_mean", constant_divisor=None, normaliser=normaliser
        )

    metrics = _measure(
        loss=loss,
        logprobs_BT=logprobs_BT,
        old_logprobs_BT=old_logprobs_BT,
        ref_logprobs_BT=ref_logprobs_BT,
        mask_BT=mask_BT,
        ratio_BT=ratio_BT,
        below=below,
        above=above,
        level=ratio,
    )
    return LossOutput(loss=loss, metrics=metrics)


def importance_ratio(
    logprobs_BT: Float[Tensor, "B T"],
    old_logprobs_BT: Float[Tensor, "B T"],
    mask_BT: Bool[Tensor, "B T"],
    *,
    level: Ratio,
) -> Float[Tensor, "B T"]:
    """Return pi / pi_old of each token, or of its sequence (geometric mean over valid tokens), repeated at each token.

    Log-probs must be finite everywhere. With a sequence ratio, masked tokens have the value of their sequence.
    """
    log_ratio_BT = logprobs_BT - old_logprobs_BT
    if level == "token":
        return log_ratio_BT.exp()
    lengths_B = mask_BT.sum(dim=-1).clamp(min=1)
    sequence_B = torch.where(mask_BT, log_ratio_BT, torch.zeros_like(log_ratio_BT)).sum(dim=-1) / lengths_B
    # GSPO-token: the value is the sequence's ratio, the gradient that of the token's log-prob.
    return (sequence_B.detach().unsqueeze(-1) + logprobs_BT - logprobs_BT.detach()).exp()


def _bounds(clip_low: float | None, clip_high: float | None) -> tuple[float, float]:
    for name, value in (("clip_low", clip_low), ("clip_high", clip_high)):
        if value is not None and not value >= 0:
            raise ValueError(f"{name} is {value}; it is a distance from 1: give 0 or more, or null for no bound")
    return (-inf if clip_low is None else 1 - clip_low, inf if clip_high is None else 1 + clip_high)


def _valid(values_BT: Float[Tensor, "B T"], mask_BT: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Return zeros where the mask is False, so that padding reaches neither the loss nor (0 * inf) the gradient."""
    return torch.where(mask_BT, values_BT, torch.zeros_like(values_BT))


@torch.no_grad()
def _measure(
    *,
    loss: Float[Tensor, ""],
    logprobs_BT: Float[Tensor, "B T"],
    old_logprobs_BT: Float[Tensor, "B T"],
    ref_logprobs_BT: Float[Tensor, "B T"] | None,
    mask_BT: Bool[Tensor, "B T"],
    ratio_BT: Float[Tensor, "B T"],
    below: Bool[Tensor, "B T"],
    above: Bool[Tensor, "B T"],
    level: Ratio,
) -> LossMetrics:
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
        kl_reference = _valid(kl_estimate(logprobs_BT, ref_logprobs_BT, "k3"), mask_BT).sum()
    return LossMetrics(
        loss=loss.detach(),
        units=units,
        ratio_sum=(ratio_BT * weight_BT).sum(),
        ratio_max=torch.cat([torch.where(mask_BT, ratio_BT, nowhere).flatten(), nowhere.view(1)]).max(),
        clipped_low=(below * weight_BT).sum(),
        clipped_high=(above * weight_BT).sum(),
        tokens=tokens,
        # Samples come from the old policy, so this estimates KL(old || policy) = E[r - 1 - ln r].
        kl_old_sum=_valid(kl_estimate(old_logprobs_BT, logprobs_BT, "k3"), mask_BT).sum(),
        reference_tokens=reference_tokens,
        kl_reference_sum=kl_reference,
    )
