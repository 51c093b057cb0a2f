"""Policy shaping of Critique-GRPO: replaces the importance ratio of completions sampled from another prompt."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor


def policy_shaping(logprobs_BT: Float[Tensor, "B T"], gamma: float) -> Float[Tensor, "B T"]:
    """Return pi / (pi + gamma) of each token (arXiv 2506.03106; LUFFY, arXiv 2504.14945, uses it for demonstrations).

    The gradient flows through it: gamma * pi / (pi + gamma)^2 times that of ln pi, largest (1/4) at pi = gamma. So
    tokens of a probability near gamma learn most, and tokens that the policy already prefers learn little.

    Raises:
        ValueError: gamma is not positive.
    """
    if not gamma > 0:
        raise ValueError(f"gamma is {gamma}; it is compared with a probability: give a positive number, such as 0.1")
    return torch.sigmoid(logprobs_BT - log(gamma))  # equal to pi / (pi + gamma), computed in log space
