"""Aggregation of per-token losses to one number, such that micro-batches add up exactly to the whole batch.

The loss of a micro-batch is a SUM over its tokens, divided by denominators of the whole batch. These are counted once
for the batch of an optimizer step (:class:`Normaliser`) and passed to every micro-batch, so neither the split nor its
order changes the gradient.

The denominators count as in TRL: every row is a sequence, with or without valid tokens. Groups without variance are
counted (their tokens count, their advantage is 0). A truncated completion that is masked out has no valid tokens: it
counts as a sequence, and its tokens do not count. verl also excludes rows without valid tokens from the number of
sequences; to do that, exclude them when building the Normaliser.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from igrpo.settings.objective import Aggregation


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Denominators of a whole batch: its number of sequences and of valid tokens.

    With several devices whose gradients are averaged, pass the mean count per device: the total divided by their
    number.
    """

    sequences: float
    tokens: float

    def __add__(self, other: "Normaliser") -> "Normaliser":
        return Normaliser(self.sequences + other.sequences, self.tokens + other.tokens)


def batch_normaliser(mask_BT: Bool[Tensor, "B T"]) -> Normaliser:
    """Count the denominators of a batch from its mask of valid tokens. Synchronises with the device once."""
    return Normaliser(sequences=mask_BT.shape[0], tokens=int(mask_BT.sum()))


def zero_masked(values_BT: Float[Tensor, "B T"], mask_BT: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Return zeros where the mask is False, so that padding reaches neither the loss nor (0 * inf) the gradient."""
    return torch.where(mask_BT, values_BT, torch.zeros_like(values_BT))


def aggregate(
    values_BT: Float[Tensor, "B T"],
    mask_BT: Bool[Tensor, "B T"],
    *,
    aggregation: Aggregation,
    constant_divisor: float | None,
    normaliser: Normaliser,
) -> Float[Tensor, ""]:
    """Return this micro-batch's share of the batch's loss.

    ``sequence_mean`` (GRPO, arXiv 2402.03300, Eq. 3): mean over a row's tokens, then over sequences; a row without
    tokens adds 0.
    ``token_mean`` (DAPO, arXiv 2503.14476, Eq. 12): mean over all valid tokens of the batch.
    ``constant`` (Dr. GRPO, arXiv 2503.20783): a row's sum divided by ``constant_divisor``, then the mean over
    sequences; a divisor of 1 gives the plain sequence sum of RLOO.

    Values at masked positions, including NaN and infinity, affect neither the result nor its gradient.

    Raises:
        ValueError: ``constant`` without a positive ``constant_divisor``.
    """
    values_BT = zero_masked(values_BT, mask_BT)
    sequences, tokens = normaliser.sequences or 1, normaliser.tokens or 1  # an empty batch: 0 / 1
    if aggregation == "sequence_mean":
        lengths_B = mask_BT.sum(dim=-1).clamp(min=1)
        return (values_BT.sum(dim=-1) / lengths_B).sum() / sequences
    if aggregation == "token_mean":
        return values_BT.sum() / tokens
    if constant_divisor is None or not constant_divisor > 0:
        raise ValueError(f"aggregation=constant needs a positive constant_divisor, not {constant_divisor}")
    return values_BT.sum() / (sequences * constant_divisor)
