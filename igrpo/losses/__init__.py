"""The objective: pure tensor functions from rewards to advantages and from log-probs to a loss."""

from igrpo.losses.advantages import Baseline, Scale, Std, group_advantages, has_variance, imitation_weights
from igrpo.losses.aggregation import Aggregation, Normaliser, aggregate, batch_normaliser
from igrpo.losses.kl import KLEstimator, kl_estimate
from igrpo.losses.logprobs import TokenStats, entropy_from_logits, token_logprobs
from igrpo.losses.losses import LossOutput, Ratio, Surrogate, importance_ratio, policy_loss
from igrpo.losses.metrics import LossMetrics
from igrpo.losses.mismatch import Correction, MismatchMetrics, correction_weights
from igrpo.losses.overlong import overlong_penalty
from igrpo.losses.shaping import policy_shaping

__all__ = [
    "Aggregation",
    "Baseline",
    "Correction",
    "KLEstimator",
    "LossMetrics",
    "LossOutput",
    "MismatchMetrics",
    "Normaliser",
    "Ratio",
    "Scale",
    "Std",
    "Surrogate",
    "TokenStats",
    "aggregate",
    "batch_normaliser",
    "correction_weights",
    "entropy_from_logits",
    "group_advantages",
    "has_variance",
    "imitation_weights",
    "importance_ratio",
    "kl_estimate",
    "overlong_penalty",
    "policy_loss",
    "policy_shaping",
    "token_logprobs",
]
