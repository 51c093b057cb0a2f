"""What Critique-GRPO puts in the place of an importance ratio, on completions that another prompt gave."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor


def policy_shaping(logprobs_BT: Float[Tensor, "B T"], gamma: float) -> Float[Tensor, "B T"]:
    """pi / (pi + gamma) of each token (arXiv 2506.03106; LUFFY, arXiv 2504.14945, has it for demonstrations).

    The gradient goes through it: gamma * pi / (pi + gamma)^2 times that of ln pi, largest (1/4) at pi = gamma. Tokens
    that the policy finds unlikely but not absurd learn most, those that it would have chosen anyway little.

    Raises:
        ValueError: gamma is not positive.
    """
    if not gamma > 0:
        raise ValueError(f"gamma is {gamma}; it is compared with a probability: give a positive number, such as 0.1")
    return torch.sigmoid(logprobs_BT - log(gamma))  # the same number, without leaving log space
