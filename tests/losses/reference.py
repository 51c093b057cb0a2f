"""The losses once more, naively: Python floats and loops, gradients differentiated by hand. Slow and easy to check."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Reference:
    loss: float
    grad_logprobs: list[list[float]]
    grad_entropies: list[list[float]]


def advantages(rewards: Sequence[float], baseline: str, scale: str, std: str, std_eps: float) -> list[float]:
    values = []
    for j, reward in enumerate(rewards):
        others = [other for i, other in enumerate(rewards) if i != j or baseline == "mean"]
        values.append(reward - sum(others) / len(others))
    if scale == "std":
        deviation = statistics.stdev(rewards) if std == "sample" else statistics.pstdev(rewards)
        values = [value / (deviation + std_eps) for value in values]
    return values


def kl(logprob: float, ref: float, estimator: str) -> tuple[float, float]:
    """The estimate and its derivative in ``logprob``."""
    log_rho = ref - logprob
    if estimator == "k1":
        return -log_rho, 1.0
    if estimator == "k2":
        return log_rho**2 / 2, -log_rho
    rho = math.exp(log_rho)
    return rho - log_rho - 1, 1 - rho


def surrogate_term(
    kind: str, *, ratio: float, advantage: float, logprob: float, clip_low: float | None, clip_high: float | None
) -> tuple[float, float]:
    """The objective of a token and its derivative in the token's log-prob (d ratio / d logprob = ratio)."""
    if kind == "reinforce":
        return advantage * logprob, advantage
    lower = 1 - clip_low if clip_low is not None else -math.inf
    upper = 1 + clip_high if clip_high is not None else math.inf
    clipped = min(max(ratio, lower), upper)
    if kind == "detached":
        return clipped * advantage * logprob, clipped * advantage
    if ratio * advantage <= clipped * advantage:
        return ratio * advantage, ratio * advantage
    return clipped * advantage, 0.0


def policy_loss(
    logprobs: Rows,
    old_logprobs: Rows,
    advantages: Sequence[float],
    mask: Sequence[Sequence[bool]],
    *,
    ratio: str,
    surrogate: str,
    clip_low: float | None,
    clip_high: float | None,
    kl_beta: float,
    kl_estimator: str,
    ref_logprobs: Rows | None,
    entropy_bonus: float,
    entropies: Rows | None,
    aggregation: str,
    constant_divisor: float | None,
    **_others: object,
) -> Reference:
    """The loss by settings of the same names as those of the objective, and others that it does not use."""
    tokens = sum(sum(row) for row in mask)
    loss = 0.0
    grad = [[0.0] * len(row) for row in logprobs]
    grad_entropies = [[0.0] * len(row) for row in logprobs]
    for b, row in enumerate(logprobs):
        valid = [t for t in range(len(row)) if mask[b][t]]
        if not valid:
            continue
        divisor = {
            "sequence_mean": len(valid) * len(logprobs),
            "token_mean": tokens,
            "constant": len(logprobs) * (constant_divisor or 0.0),
        }[aggregation]
        log_ratios = [row[t] - old_logprobs[b][t] for t in valid]
        for t, log_ratio in zip(valid, log_ratios, strict=True):
            if ratio == "sequence":
                log_ratio = sum(log_ratios) / len(log_ratios)  # noqa: PLW2901
            value, slope = surrogate_term(
                surrogate,
                ratio=math.exp(log_ratio),
                advantage=advantages[b],
                logprob=row[t],
                clip_low=clip_low,
                clip_high=clip_high,
            )
            if ref_logprobs is not None:
                kl_value, kl_slope = kl(row[t], ref_logprobs[b][t], kl_estimator)
                value, slope = value - kl_beta * kl_value, slope - kl_beta * kl_slope
            loss -= value / divisor
            grad[b][t] -= slope / divisor
            if entropies is not None:
                loss -= entropy_bonus * entropies[b][t] / tokens
                grad_entropies[b][t] -= entropy_bonus / tokens
    return Reference(loss, grad, grad_entropies)
