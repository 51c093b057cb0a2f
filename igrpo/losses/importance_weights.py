"""Importance weights of completions that were not sampled from the trained policy, and metrics of the mismatch.

Sampler importance weights: for the same parameters, an inference engine computes log-probs with other kernels, or in
another precision. So completions come from a policy ``mu`` that is only close to the trainer's ``pi_old``, and the
gradient is biased. Cross-prompt importance weights: ``mu`` is the policy given another prompt than the trained one.
With ``w = pi_old / mu`` of the whole completion, ``E_mu[w f] = E_old[f]`` for every f. The variance of w grows with the
length, so w is bounded:

========  ========  ===============================================================================
level     bound     weight of a token
========  ========  ===============================================================================
none      -         1
token     truncate  min(w_t, high): truncated importance sampling (TIS)
token     mask      w_t within [low, high], else 0: masked importance sampling, IcePop
sequence  truncate  min(w, high), w the product of w_t over the completion's valid tokens
sequence  mask      w within [low, high], else 0: the completion gives no policy gradient
========  ========  ===============================================================================

Token weights leave a bias, because they ignore the probability of the prefix, but their variance does not grow with the
length.

As in TRL (``vllm_importance_sampling_mode``): the definitions above are the same, a missing bound means no limit on
that side, and the weight multiplies only the policy gradient's term. Differences:

- verl uses 1 / high as the lower bound if none is given, and removes masked tokens from the denominators too.
  Here and in TRL masked tokens still count in the denominators, so a step that masks more has a smaller gradient.
- verl truncates only from above; here, as in TRL, ``low`` also bounds a truncated weight.
- The argument of ``exp`` is clamped to `LOG_LIMIT` nats on both sides, verl's limit (TRL has none). Bounds are compared
  with the unclamped log-ratio.
"""

from dataclasses import dataclass
from math import inf, log

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from igrpo.losses.accumulator import Accumulator
from igrpo.losses.kl import kl_estimate
from igrpo.settings.importance_weights import ImportanceWeightsConfig

#: In nats; exp(20) is 4.9e8. Log-ratios are clamped to this on both sides before ``exp``.
LOG_LIMIT = 20.0


@dataclass(frozen=True, slots=True)
class MismatchMetrics(Accumulator):
    """Metrics of the mismatch between sampler and trainer, in float64.

    A unit is what a weight belongs to: a valid token or, at level ``sequence``, a sequence with valid tokens. ``ratio``
    is pi_old / mu of a unit before any bound; ``low`` and ``high`` count the units that a bound changed or masked. The
    ``weight`` sums are over the sequences' ratios, at every level. Log-ratios are clamped at `LOG_LIMIT`. Gaps are 0 or
    more and ratios positive, so 0 is the maximum of no tokens.
    """

    tokens: Float[Tensor, ""]
    gap_sum: Float[Tensor, ""]
    gap_max: Float[Tensor, ""]
    k1_sum: Float[Tensor, ""]
    k3_sum: Float[Tensor, ""]
    units: Float[Tensor, ""]
    ratio_sum: Float[Tensor, ""]
    ratio_max: Float[Tensor, ""]
    low: Float[Tensor, ""]
    high: Float[Tensor, ""]
    sequences: Float[Tensor, ""]
    weight_sum: Float[Tensor, ""]
    weight_square_sum: Float[Tensor, ""]

    def finalise(self) -> dict[str, float]:
        """Return the numbers to log, empty without a valid token. Synchronises with the device once.

        - ``sampler_logprob_gap_mean``, ``_max``: |ln pi_old - ln mu|, nats per token
        - ``sampler_kl_k1``, ``sampler_kl_k3``: KL(mu || pi_old), nats per token, by the two estimators
        - ``sampler_ratio_mean``, ``_max``: pi_old / mu of a unit; the mean is 1 in expectation
        - ``sampler_ess``: effective sample size of the sequences' ratios, (sum w)^2 / (n sum w^2), from 1/n to 1
        - ``correction_share_low``, ``_high``: share of units that the lower or upper bound truncated or masked
        """
        total = self.numbers()
        if not total["tokens"]:
            return {}
        return {
            "sampler_logprob_gap_mean": total["gap_sum"] / total["tokens"],
            "sampler_logprob_gap_max": total["gap_max"],
            "sampler_kl_k1": total["k1_sum"] / total["tokens"],
            "sampler_kl_k3": total["k3_sum"] / total["tokens"],
            "sampler_ratio_mean": total["ratio_sum"] / total["units"],
            "sampler_ratio_max": total["ratio_max"],
            "sampler_ess": total["weight_sum"] ** 2 / (total["sequences"] * total["weight_square_sum"]),
            "correction_share_low": total["low"] / total["units"],
            "correction_share_high": total["high"] / total["units"],
        }


@dataclass(frozen=True, slots=True)
class ImportanceWeights:
    """Weights of tokens (without gradient; 0 where the mask is False), and metrics of the mismatch."""

    weights_BT: Float[Tensor, "B T"]
    metrics: MismatchMetrics


@torch.no_grad()
def importance_weights(
    old_logprobs_BT: Float[Tensor, "B T"],
    sampler_logprobs_BT: Float[Tensor, "B T"],
    mask_BT: Bool[Tensor, "B T"],
    settings: ImportanceWeightsConfig,
) -> ImportanceWeights:
    """Compute the weights of B completions of up to T tokens, and metrics of the gap between sampler and trainer.

    Args:
        old_logprobs_BT: log-probs of the trainer's policy at the start of the step, at the sampling temperature, in
            nats.
        sampler_logprobs_BT: log-probs that the engine reported for the same tokens, of the distribution that it sampled
            from. -inf (a token that is impossible for the engine) gives a ratio beyond every bound.
        mask_BT: True at valid completion tokens. Values elsewhere, including NaN, have no effect.
        settings: see the module docstring. Level ``none`` measures like ``token`` and ignores the bounds.

    The weights have the dtype of the old log-probs. NaN, or an old log-prob of -inf with a sampler's -inf, gives NaN,
    so that a broken engine is visible in the loss.
    """
    level, low, high = settings.level, settings.low, settings.high
    bounded = level != "none"
    lower = log(low) if bounded and low is not None else -inf
    upper = log(high) if bounded and high is not None else inf
    gap_BT = torch.where(mask_BT, old_logprobs_BT.double() - sampler_logprobs_BT.double(), 0.0)
    sequence_B1, sequence_mask_B1 = gap_BT.sum(dim=-1, keepdim=True), mask_BT.any(dim=-1, keepdim=True)
    # U units per row: its one sequence, or its T tokens
    log_ratio_BU, mask_BU = (sequence_B1, sequence_mask_B1) if level == "sequence" else (gap_BT, mask_BT)

    ratio_BU = _ratio(log_ratio_BU)
    below_BU, above_BU = (log_ratio_BU < lower) & mask_BU, (log_ratio_BU > upper) & mask_BU
    if not bounded:
        weights_BU = torch.ones_like(ratio_BU)
    elif settings.bound == "truncate":
        weights_BU = ratio_BU.clamp(0.0 if low is None else low, high)
    else:
        weights_BU = ratio_BU.masked_fill(below_BU | above_BU, 0.0)

    return ImportanceWeights(
        weights_BT=torch.where(mask_BT, weights_BU.expand_as(gap_BT), 0.0).to(old_logprobs_BT.dtype),
        metrics=MismatchMetrics(
            **_token_sums(gap_BT, mask_BT),
            **_sequence_sums(sequence_B1, sequence_mask_B1),
            units=mask_BU.sum().double(),
            ratio_sum=torch.where(mask_BU, ratio_BU, 0.0).sum(),
            ratio_max=_largest(torch.where(mask_BU, ratio_BU, 0.0)),
            low=below_BU.sum().double(),
            high=above_BU.sum().double(),
        ),
    )


def _token_sums(gap_BT: Float[Tensor, "B T"], mask_BT: Bool[Tensor, "B T"]) -> dict[str, Tensor]:
    """Sum the token metrics; ``gap_BT`` is 0 at masked tokens."""
    gap_BT = gap_BT.clamp(-LOG_LIMIT, LOG_LIMIT)
    return {
        "tokens": mask_BT.sum().double(),
        "gap_sum": gap_BT.abs().sum(),
        "gap_max": _largest(gap_BT.abs()),
        "k1_sum": 0.0 - gap_BT.sum(),  # not -0.0, where sampler and trainer agree
        "k3_sum": kl_estimate(torch.zeros_like(gap_BT), gap_BT, "k3").sum(),
    }


def _sequence_sums(sequence_B1: Float[Tensor, "B 1"], mask_B1: Bool[Tensor, "B 1"]) -> dict[str, Tensor]:
    weights_B1 = torch.where(mask_B1, _ratio(sequence_B1), 0.0)
    return {
        "sequences": mask_B1.sum().double(),
        "weight_sum": weights_B1.sum(),
        "weight_square_sum": weights_B1.square().sum(),
    }


def _ratio(log_ratio: Float[Tensor, "*dims"]) -> Float[Tensor, "*dims"]:
    return log_ratio.clamp(-LOG_LIMIT, LOG_LIMIT).exp()


def _largest(values: Float[Tensor, "*dims"]) -> Float[Tensor, ""]:
    """Return the maximum, or 0 for an empty tensor."""
    return torch.cat([values.flatten(), values.new_zeros(1)]).max()
