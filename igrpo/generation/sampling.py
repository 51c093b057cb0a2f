"""The sampling distribution, and random numbers that depend only on a sample's seed and position.

The order is that of Hugging Face's and vLLM's samplers: temperature, then top-k, then top-p over what top-k kept.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

# Constants of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), as the
# signed 64-bit integers that torch supports.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)

_MIN_VOCABULARY_OF_BLOCKS, _BLOCK = 4096, 256
#: On the CPU, rows are sampled a few at a time, so that what one operation writes is in the cache for the next: 1 MiB.
_CACHED_NUMBERS = 1 << 18
_BELOW_1 = 1 - 2.0**-53


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

    def rows(self, part: slice) -> RowSampling:
        """Return the settings of some of the rows."""
        temperatures, top_ps, top_ks = self.temperatures[part], self.top_ps[part], self.top_ks[part]
        return replace(self, temperatures=temperatures, top_ps=top_ps, top_ks=top_ks)


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
    batch, vocabulary = logits_BV.shape
    rows = max(1, _CACHED_NUMBERS // vocabulary) if logits_BV.device.type == "cpu" else batch
    if batch <= rows:
        return _sample(logits_BV, uniforms_B, how)
    parts = [slice(start, start + rows) for start in range(0, batch, rows)]
    sampled = [_sample(logits_BV[part], uniforms_B[part], how.rows(part)) for part in parts]
    return SampledTokens(*(torch.cat([getattr(each, f.name) for each in sampled]) for f in fields(SampledTokens)))


def _sample(logits_BV: Tensor, uniforms_B: Tensor, how: RowSampling) -> SampledTokens:
    """Sample all rows in one pass; see `sample_tokens`."""
    logprobs_BV = logits_BV.log_softmax(-1)
    probs_BV = logprobs_BV.exp()
    entropies_B = policy_entropies_B = _entropies(logprobs_BV, probs_BV)
    broken_B = ~policy_entropies_B.isfinite()
    if how.tempered or how.filtered:
        scaled_BV = logits_BV / torch.where(how.temperatures > 0, how.temperatures, 1.0)[:, None]
        if how.filtered:
            scaled_BV = _filtered(scaled_BV, how.top_ks, how.top_ps)
        logprobs_BV = scaled_BV.log_softmax(-1)
        probs_BV = logprobs_BV.exp()
        entropies_B = _entropies(logprobs_BV, probs_BV)
    tokens_B = _inverse(probs_BV, uniforms_B)
    logprobs_B = logprobs_BV.gather(-1, tokens_B[:, None])[:, 0]
    if how.greedy:
        greedy_B = how.temperatures == 0
        tokens_B = torch.where(greedy_B, logits_BV.argmax(-1), tokens_B)
        logprobs_B = logprobs_B.masked_fill(greedy_B, 0.0)
        entropies_B = entropies_B.masked_fill(greedy_B, 0.0)
    return SampledTokens(tokens_B, logprobs_B, entropies_B, policy_entropies_B, broken_B)


def _inverse(probs_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """Return, per row, the token at which the cumulative distribution passes ``uniforms_B``, [B].

    Sums are in float64, so that the rounding of a long sum does not change the sampled token. A large vocabulary is
    summed in blocks, and only the block of the token token by token: cumulative sums are 30 times as slow as sums.
    """
    batch, vocabulary = probs_BV.shape
    if vocabulary <= _MIN_VOCABULARY_OF_BLOCKS:
        cumulative_BV = probs_BV.cumsum(-1, dtype=torch.float64)
        return _passed(cumulative_BV, uniforms_B * cumulative_BV[:, -1])
    rest = -vocabulary % _BLOCK
    blocks_BNK = (pad(probs_BV, (0, rest)) if rest else probs_BV).reshape(batch, -1, _BLOCK)
    cumulative_BN = blocks_BNK.sum(-1, dtype=torch.float64).cumsum(-1)
    thresholds_B = uniforms_B * cumulative_BN[:, -1]
    block_B = _passed(cumulative_BN, thresholds_B)
    rows_B = torch.arange(batch, device=probs_BV.device)
    before_B = pad(cumulative_BN, (1, 0))[rows_B, block_B]
    cumulative_BK = blocks_BNK[rows_B, block_B].cumsum(-1, dtype=torch.float64)
    # By the rounding of its sum, the block may end just below the threshold: then its last token with a mass is taken.
    inside_B = torch.minimum(thresholds_B - before_B, cumulative_BK[:, -1] * _BELOW_1)
    return (block_B * _BLOCK + _passed(cumulative_BK, inside_B)).clamp_(max=vocabulary - 1)


def _passed(cumulative_BN: Tensor, thresholds_B: Tensor) -> Tensor:
    """Return the first entry above the threshold; the last one where NaN, which ``broken`` reports, sorts last."""
    found_B1 = torch.searchsorted(cumulative_BN, thresholds_B[:, None], right=True)
    return found_B1[:, 0].clamp_(max=cumulative_BN.shape[-1] - 1)


def _entropies(logprobs_BV: Tensor, probs_BV: Tensor) -> Tensor:
    """Return the Shannon entropy in nats, [B]; 0 ln 0 counts as 0, NaN is kept."""
    finite_BV = logprobs_BV.clamp_min(torch.finfo(logprobs_BV.dtype).min)
    return -(probs_BV * finite_BV).sum(-1)


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
