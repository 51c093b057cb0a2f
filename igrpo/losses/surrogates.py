"""Importance ratios and surrogates: the per-token loss, before weights, KL term and aggregation.

``r`` is the importance ratio pi / pi_old of a token or of its whole sequence, ``A`` the advantage, ``sg`` stops the
gradient:

==============  =======================================  ===============================================
surrogate       per-token objective                      algorithms
==============  =======================================  ===============================================
clip            min(r A, clip(r, 1 - low, 1 + high) A)   GRPO (low = high), DAPO, Dr. GRPO; GSPO (sequence)
detached        sg[clip(r, 1 - low, 1 + high)] A ln pi   CISPO (no lower bound)
reinforce       A ln pi                                  RLOO, best-of-N
==============  =======================================  ===============================================

`shape` replaces the surrogate of completions that were sampled from another prompt (Critique-GRPO).

Differences from other libraries: nothing is clamped except by the clip itself (verl limits log-ratios to 20, GSPO's to
10), and there is no dual clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from igrpo.losses.aggregation import zero_masked
from igrpo.settings.objective import Ratio, Surrogate


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """Per-token losses, and the tokens whose ratio was clipped from below and from above."""

    loss_BT: Float[Tensor, "B T"]
    below_BT: Bool[Tensor, "B T"]
    above_BT: Bool[Tensor, "B T"]


def token_ratio(
    logprobs_BT: Float[Tensor, "B T"], old_logprobs_BT: Float[Tensor, "B T"], mask_BT: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    """Return pi / pi_old of each token (GRPO, arXiv 2402.03300, Eq. 3). The log-probs must be finite everywhere."""
    return (logprobs_BT - old_logprobs_BT).exp()


def sequence_ratio(
    logprobs_BT: Float[Tensor, "B T"], old_logprobs_BT: Float[Tensor, "B T"], mask_BT: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    """Return the geometric mean of the token ratios of each sequence, at each of its tokens (GSPO, arXiv 2507.18071).

    The value is GSPO's Eq. 7. The gradient at token t is that of ln pi_t (GSPO-token, Eq. 13-14); with one advantage
    per completion this is the gradient of GSPO. Masked tokens have the value of their sequence. The log-probs must be
    finite everywhere.
    """
    log_ratio_BT = logprobs_BT - old_logprobs_BT
    lengths_B = mask_BT.sum(dim=-1).clamp(min=1)
    sequence_B = zero_masked(log_ratio_BT, mask_BT).sum(dim=-1) / lengths_B
    return (sequence_B.detach().unsqueeze(-1) + logprobs_BT - logprobs_BT.detach()).exp()


def clip(
    logprobs_BT: Float[Tensor, "B T"],
    ratio_BT: Float[Tensor, "B T"],
    advantages_BT: Float[Tensor, "B T"],
    lower: float,
    upper: float,
) -> TokenLoss:
    """Clip the ratio where that lowers the objective (PPO, arXiv 1707.06347, Eq. 7; DAPO, arXiv 2503.14476, Eq. 10).

    GRPO is the case of equal distances from 1.
    """
    below_BT, above_BT = (ratio_BT < lower) & (advantages_BT < 0), (ratio_BT > upper) & (advantages_BT > 0)
    clipped_BT = torch.where(below_BT | above_BT, ratio_BT.detach().clamp(lower, upper), ratio_BT)
    return TokenLoss(-clipped_BT * advantages_BT, below_BT, above_BT)


def detached(
    logprobs_BT: Float[Tensor, "B T"],
    ratio_BT: Float[Tensor, "B T"],
    advantages_BT: Float[Tensor, "B T"],
    lower: float,
    upper: float,
) -> TokenLoss:
    """Weight ln pi by the clipped ratio, so that clipped tokens keep a gradient (CISPO, arXiv 2506.13585, Eq. 4-5)."""
    loss_BT = -ratio_BT.detach().clamp(lower, upper) * advantages_BT * logprobs_BT
    return TokenLoss(loss_BT, ratio_BT < lower, ratio_BT > upper)


def reinforce(
    logprobs_BT: Float[Tensor, "B T"],
    ratio_BT: Float[Tensor, "B T"],
    advantages_BT: Float[Tensor, "B T"],
    lower: float,
    upper: float,
) -> TokenLoss:
    """Weight ln pi by the advantage (REINFORCE, as in RLOO, arXiv 2402.14740). The ratio is only measured."""
    nowhere_BT = torch.zeros_like(ratio_BT, dtype=torch.bool)
    return TokenLoss(-advantages_BT * logprobs_BT, nowhere_BT, nowhere_BT)


def shape(
    surrogate: TokenLoss,
    logprobs_BT: Float[Tensor, "B T"],
    advantages_BT: Float[Tensor, "B T"],
    shaped_B: Bool[Tensor, "B"],
    gamma: float,
) -> TokenLoss:
    """Replace the surrogate of some rows by policy shaping: -A pi / (pi + gamma). Shaped rows are not clipped."""
    shaped_B1 = shaped_B.unsqueeze(-1)
    return TokenLoss(
        torch.where(shaped_B1, -policy_shaping(logprobs_BT, gamma) * advantages_BT, surrogate.loss_BT),
        surrogate.below_BT & ~shaped_B1,
        surrogate.above_BT & ~shaped_B1,
    )


def policy_shaping(logprobs_BT: Float[Tensor, "B T"], gamma: float) -> Float[Tensor, "B T"]:
    """Return pi / (pi + gamma) of each token (Critique-GRPO, arXiv 2506.03106; LUFFY, arXiv 2504.14945).

    The gradient flows through it: gamma * pi / (pi + gamma)^2 times that of ln pi, largest (1/4) at pi = gamma. So
    tokens of a probability near gamma learn most, and tokens that the policy already prefers learn little.
    """
    return torch.sigmoid(logprobs_BT - log(gamma))  # equal to pi / (pi + gamma), computed in log space


#: Importance ratios, by ``objective.ratio``.
RATIOS: dict[Ratio, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"token": token_ratio, "sequence": sequence_ratio}

#: Surrogates, by ``objective.surrogate``: log-probs, ratios, advantages, and the bounds of the ratio.
SURROGATES: dict[Surrogate, Callable[[Tensor, Tensor, Tensor, float, float], TokenLoss]] = {
    "clip": clip,
    "detached": detached,
    "reinforce": reinforce,
}
