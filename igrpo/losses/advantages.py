"""Advantages of a group from its rewards (iGRPO, arXiv 2602.09000, section 3; GRPO, arXiv 2402.03300).

The general form is ``(R - baseline) / scale``; the published estimators are special cases:

=============  ==============  ======  ======================================
algorithm      baseline        scale   source
=============  ==============  ======  ======================================
GRPO, iGRPO    mean            std     2402.03300; sample standard deviation
Dr. GRPO       mean            none    2503.20783
RLOO           leave_one_out   none    2402.14740
REINFORCE      none            none    the reward itself
=============  ==============  ======  ======================================

Best-of-N fine-tuning (RAFT, 2304.06767) uses weights instead: 1 for the best completion of a group, 0 for the others.

Pass groups of different sizes one by one; groups of equal size can be stacked in leading dimensions.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from igrpo.settings.objective import AdvantageConfig, Baseline, Scale, Std


def has_variance(rewards_G: Float[Tensor, "*S G"], tolerance: float) -> Bool[Tensor, "*S"]:
    """True where a group's rewards differ: ``max - min > tolerance * max(1, max |R|)``.

    The test uses the spread and not the standard deviation, because the standard deviation of three rewards of 0.1 is
    1.7e-17. A NaN counts as variance, so that it reaches the loss and is detected there.

    Raises:
        ValueError: ``tolerance`` is negative.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance is {tolerance}; the spread that counts as no variance cannot be negative")
    largest = rewards_G.abs().amax(dim=-1).clamp(min=1.0)
    spread = rewards_G.amax(dim=-1) - rewards_G.amin(dim=-1)
    return ~(spread <= tolerance * largest)


def group_advantages(
    rewards_G: Float[Tensor, "*S G"],
    *,
    baseline: Baseline,
    scale: Scale,
    std: Std,
    std_eps: float,
    tolerance: float,
) -> Float[Tensor, "*S G"]:
    """Return the advantages of each group along the last dimension.

    With a baseline, they are exactly zero for a group without variance.

    Args:
        rewards_G: rewards of one group, or of groups of equal size. In float64, 0.1 + 0.2 and 0.3 are equal within a
            tolerance of 1e-9.
        baseline: ``mean`` of the group, ``leave_one_out`` (the mean of the other G - 1 rewards), or ``none``: the
            rewards are the advantages, also in groups without variance.
        scale: ``std`` divides by the group's standard deviation plus ``std_eps``; ``none`` does not divide.
        std: ``sample`` (divisor G - 1, as in the paper) or ``population`` (divisor G). Used only with ``scale=std``.
        std_eps: added to the standard deviation (the paper: 0; TRL 1e-4; verl 1e-6).
        tolerance: see :func:`has_variance`.

    A group of one has no variance, so with a baseline its advantage is 0.

    Raises:
        ValueError: a sample standard deviation of a group of one, a scale without a baseline, an empty group, or a
            negative ``std_eps`` or ``tolerance``.
    """
    size = rewards_G.shape[-1]
    if size == 0:
        raise ValueError("a group without completions has no advantages")
    if scale == "std" and std == "sample" and size == 1:
        raise ValueError(
            "the sample standard deviation of a group of one does not exist: "
            "sample at least 2 completions per group, or set std=population or scale=none"
        )
    if std_eps < 0:
        raise ValueError(f"std_eps is {std_eps}; it must be 0 or more")
    if baseline == "none":
        if scale != "none":
            raise ValueError(f"scale={scale} needs a baseline: equal rewards have no deviation; set scale=none")
        return rewards_G.clone()
    varied = has_variance(rewards_G, tolerance).unsqueeze(-1)
    advantages = rewards_G - rewards_G.mean(dim=-1, keepdim=True)
    if baseline == "leave_one_out":
        # R_j - mean of the others = G / (G - 1) * (R_j - mean of all)
        advantages = advantages * (size / max(size - 1, 1))
    if scale == "std":
        deviation = rewards_G.std(dim=-1, keepdim=True, correction=1 if std == "sample" else 0)
        advantages = advantages / (deviation + std_eps)
    return torch.where(varied, advantages, torch.zeros_like(advantages))


def advantages_of(
    rewards_G: Float[Tensor, "*S G"], accepted_G: Bool[Tensor, "*S G"], settings: AdvantageConfig
) -> Float[Tensor, "*S G"]:
    """Return the advantages of each group as the settings say; ``accepted_G`` is used by ``select=best`` only."""
    if settings.select == "best":
        return imitation_weights(rewards_G, accepted_G)
    return group_advantages(
        rewards_G,
        baseline=settings.baseline,
        scale=settings.scale,
        std=settings.std,
        std_eps=settings.std_eps,
        tolerance=settings.tolerance,
    )


def imitation_weights(rewards_G: Float[Tensor, "*S G"], accepted_G: Bool[Tensor, "*S G"]) -> Float[Tensor, "*S G"]:
    """Return best-of-N weights: 1 for the accepted completion of the highest reward in each group, 0 for all others.

    Among equal rewards the first completion counts. A group without an accepted completion is all zeros. A group in
    which all are accepted still has one weight of 1, even if its rewards have no variance.

    Raises:
        ValueError: an empty group.
    """
    if rewards_G.shape[-1] == 0:
        raise ValueError("a group without completions has no best one")
    ranked_G = rewards_G.masked_fill(~accepted_G, -torch.inf)
    # the first maximum by its index: with ties, argmax does not guarantee which one it returns
    best_G = accepted_G & (ranked_G == ranked_G.amax(dim=-1, keepdim=True))
    return (best_G & (best_G.cumsum(dim=-1) == 1)).to(rewards_G.dtype)
