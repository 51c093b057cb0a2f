"""The soft overlong penalty of DAPO (arXiv 2503.14476, Eq. 13), which is added to the training reward.

Difference from DAPO: the length limit is the sampling limit. So no completion is longer, and a completion that was cut
off at the limit gets the whole penalty. (The paper's rewards are -1 and 1; with rewards of 0 and 1 the same penalty
weighs twice as much.)
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def overlong_penalty(
    lengths_G: Int[Tensor, " G"], truncated_G: Bool[Tensor, " G"], *, limit: int, buffer: int
) -> Float[Tensor, " G"]:
    """Return the penalty to add to each reward.

    It is 0 up to ``limit - buffer`` tokens, then falls linearly to -1 at ``limit``.

    Raises:
        ValueError: ``buffer`` is not from 1 to ``limit``.
    """
    if not 1 <= buffer <= limit:
        raise ValueError(f"buffer is {buffer}: it must be from 1 to limit={limit}")
    beyond = (lengths_G - (limit - buffer)).clamp(min=0, max=buffer).to(torch.float64)
    return torch.where(truncated_G, -1.0, -beyond / buffer)
