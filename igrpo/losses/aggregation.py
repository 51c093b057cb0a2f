"""From per-token losses to one number, so that micro-batches add up to the whole batch exactly.

The loss of a micro-batch is a SUM over its tokens, divided by denominators of the whole batch. These are counted once
for the batch of an optimizer step (:class:`Normaliser`) and handed to every micro-batch, so neither the split nor its
order changes the gradient.

What counts in the denominators, as in TRL: every row is a sequence, whether it has valid tokens or not. Groups without
variance stay (their tokens count, their advantage is 0). A truncated completion that is masked out has no valid tokens:
it stays a sequence, its tokens leave the token count. verl leaves rows without valid tokens out of the sequences too;
for that, count them out when building the Normaliser.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Aggregation = Literal["sequence_mean", "token_mean", "constant"]


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Denominators of a whole batch: its number of sequences and of valid tokens.

    Over several devices whose gradients are averaged: the mean count of a device, the total over their number.
    """

    sequences: float
    tokens: float

    def __add__(self, other: "Normaliser") -> "Normaliser":
        return Normaliser(self.sequences + other.sequences, self.tokens + other.tokens)


def batch_normaliser(mask_BT: Bool[Tensor, "B T"]) -> Normaliser:
    """The denominators of the batch that has this mask of valid tokens. Waits for the device once."""
    return Normaliser(sequences=mask_BT.shape[0], tokens=int(mask_BT.sum()))


def aggregate(
    values_BT: Float[Tensor, "B T"],
    mask_BT: Bool[Tensor, "B T"],
    *,
    aggregation: Aggregation,
    constant_divisor: float | None,
    normaliser: Normaliser,
) -> Float[Tensor, ""]:
    """This micro-batch's share of the batch's loss.

    ``sequence_mean`` (GRPO): mean over a row's tokens, then over sequences; a row without tokens adds 0.
    ``token_mean`` (DAPO): mean over all valid tokens of the batch.
    ``constant`` (Dr. GRPO): a row's sum over ``constant_divisor``, then the mean over sequences; a divisor of 1 is the
    plain sequence sum of RLOO.

    Values at masked positions, NaN and infinity included, change neither the result nor its gradient.

    Raises:
        ValueError: ``constant`` without a positive ``constant_divisor``.
    """
    values_BT = torch.where(mask_BT, values_BT, torch.zeros_like(values_BT))
    sequences, tokens = normaliser.sequences or 1, normaliser.tokens or 1  # an empty batch: 0 / 1
    if aggregation == "sequence_mean":
        lengths_B = mask_BT.sum(dim=-1).clamp(min=1)
        return (values_BT.sum(dim=-1) / lengths_B).sum() / sequences
    if aggregation == "token_mean":
        return values_BT.sum() / tokens
    if constant_divisor is None or not constant_divisor > 0:
        raise ValueError(f"aggregation=constant needs a positive constant_divisor, not {constant_divisor}")
    return values_BT.sum() / (sequences * constant_divisor)
