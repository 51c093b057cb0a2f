"""The sampling distribution, and random numbers that depend only on a sample's seed and position.

The order is that of Hugging Face's and vLLM's samplers: temperature, then top-k, then top-p over what top-k kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Constants of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), as the
# signed 64-bit integers that torch supports.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Shift logically: torch's own right shift keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def uniforms(seeds_B: Tensor, positions_B: Tensor) -> Tensor:
    """Return one float64 in [0, 1) per (seed, position): entry ``position`` of the seed's SplitMix64 stream.

    Both arguments are int64. Pure integer arithmetic: the result is the same on every device and in every batch. Seeds
    are mixed first, so that neighbouring seeds have unrelated streams.
    """
    bits = _mix(_mix(seeds_B) + (positions_B + 1) * _GOLDEN)
    return _shift_right(bits, 11).double() * 2.0**-53


@dataclass(frozen=True, slots=True)
class RowSampling:
    """Sampling settings per row: float32 temperatures, float64 top-p, int64 top-k, each [B].

    ``tempered``, ``filtered`` and ``greedy`` say whether any row has a temperature other than 1, a filter, or
    temperature 0. They only save work; they do not change any result.
    """

    temperatures: Tensor
    top_ps: Tensor
    top_ks: Tensor
    tempered: bool
    filtered: bool
    greedy: bool


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """Sampled tokens and their statistics, one per row, each [B]: int64 tokens, then float32 values in nats.

    ``broken`` marks rows whose logits are unusable.
    """

    tokens: Tensor
    logprobs: Tensor
    sampling_entropies: Tensor
    policy_entropies: Tensor
    broken: Tensor


def sample_tokens(logits_BV: Tensor, uniforms_B: Tensor, how: RowSampling) -> SampledTokens:
    """Sample each row's token by inverting the cumulative distribution at the row's uniform number.

    A greedy row takes the first of the largest logits; its distribution is one point, so its log-prob and sampling
    entropy are 0. A logit of minus infinity is a token that the model rules out. NaN, plus infinity, or a row of minus
    infinities makes the row broken; its other values are then meaningless.

    Args:
        logits_BV: [B, V], float32.
        uniforms_B: [B], float64 in [0, 1).
    """
    policy_BV = logits_BV.log_softmax(-1)
    policy_entropies_B = _entropies(policy_BV)
    broken_B = ~policy_entropies_B.isfinite()
    logprobs_BV, entropies_B = policy_BV, policy_entropies_B
    if how.tempered or how.filtered:
        scaled_BV = logits_BV / torch.where(how.temperatures > 0, how.temperatures, 1.0)[:, None]
        if how.filtered:
            scaled_BV = _filtered(scaled_BV, how.top_ks, how.top_ps)
        logprobs_BV = scaled_BV.log_softmax(-1)
        entropies_B = _entropies(logprobs_BV)
    # float64, so that the rounding of a long sum does not change the sampled token.
    cumulative_BV = logprobs_BV.exp().cumsum(-1, dtype=torch.float64)
    thresholds_B = uniforms_B * cumulative_BV[:, -1]
    tokens_B = torch.searchsorted(cumulative_BV, thresholds_B[:, None], right=True)[:, 0]
    tokens_B = tokens_B.clamp_(max=logits_BV.shape[-1] - 1)  # NaN sorts last; ``broken`` reports it
    logprobs_B = logprobs_BV.gather(-1, tokens_B[:, None])[:, 0]
    if how.greedy:
        greedy_B = how.temperatures == 0
        tokens_B = torch.where(greedy_B, logits_BV.argmax(-1), tokens_B)
        logprobs_B = logprobs_B.masked_fill(greedy_B, 0.0)
        entropies_B = entropies_B.masked_fill(greedy_B, 0.0)
    return SampledTokens(tokens_B, logprobs_B, entropies_B, policy_entropies_B, broken_B)


def _entropies(logprobs_BV: Tensor) -> Tensor:
    """Return the Shannon entropy in nats, [B]; 0 ln 0 counts as 0, NaN is kept."""
    finite_BV = logprobs_BV.clamp_min(torch.finfo(logprobs_BV.dtype).min)
    return -(logprobs_BV.exp() * finite_BV).sum(-1)


def _filtered(logits_BV: Tensor, top_ks_B: Tensor, top_ps_B: Tensor) -> Tensor:
    """Set all logits to minus infinity except those that top-k and top-p keep.

    Top-k keeps the ``top_k`` largest logits. Of their distribution, top-p keeps the smallest set of mass >= top_p. The
    most likely token is always kept; among equal tokens the lower id comes first. Rows without filters are unchanged.
    """
    sorted_BV, order_BV = logits_BV.sort(dim=-1, descending=True, stable=True)
    ranks_V = torch.arange(logits_BV.shape[-1], device=logits_BV.device)
    keep_BV = (ranks_V < top_ks_B[:, None]) | (top_ks_B <= 0)[:, None]
    probs_BV = sorted_BV.masked_fill(~keep_BV, -torch.inf).softmax(-1)
    mass_before_BV = probs_BV.cumsum(-1, dtype=torch.float64) - probs_BV
    keep_BV &= (mass_before_BV < top_ps_B[:, None]) | (top_ps_B >= 1)[:, None]
    keep_BV[:, 0] = True
    drop_BV = torch.empty_like(keep_BV).scatter_(-1, order_BV, ~keep_BV)
    return logits_BV.masked_fill(drop_BV, -torch.inf)
