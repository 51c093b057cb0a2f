"""The soft overlong penalty of DAPO (arXiv 2503.14476, Eq. 13), a part of the reward that is trained on.

How it differs from DAPO: the limit is that of sampling, so that no completion is longer, and one that the limit ended
has the whole penalty. (The paper's reward is -1 or 1; beside one of 0 or 1 the same penalty weighs twice as much.)
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def overlong_penalty(
    lengths_G: Int[Tensor, " G"], truncated_G: Bool[Tensor, " G"], *, limit: int, buffer: int
) -> Float[Tensor, " G"]:
    """What is added to each reward: 0 up to ``limit - buffer`` tokens, then falling linearly to -1 at ``limit``.

    Raises:
        ValueError: a buffer that is not from 1 to ``limit``.
    """
    if not 1 <= buffer <= limit:
        raise ValueError(f"buffer is {buffer}: it must be from 1 to limit={limit}")
    beyond = (lengths_G - (limit - buffer)).clamp(min=0, max=buffer).to(torch.float64)
    return torch.where(truncated_G, -1.0, -beyond / buffer)
