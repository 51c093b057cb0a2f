"""The objective: pure tensor functions from rewards to advantages and from log-probs to a loss."""

from igrpo.objective.advantages import Baseline, Scale, Std, group_advantages, has_variance, imitation_weights
from igrpo.objective.aggregation import Aggregation, Normaliser, aggregate, batch_normaliser
from igrpo.objective.kl import KLEstimator, kl_estimate
from igrpo.objective.logprobs import TokenStats, entropy_from_logits, token_logprobs
from igrpo.objective.losses import LossOutput, Ratio, Surrogate, importance_ratio, policy_loss
from igrpo.objective.metrics import LossMetrics
from igrpo.objective.mismatch import Correction, MismatchMetrics, correction_weights
from igrpo.objective.overlong import overlong_penalty
from igrpo.objective.shaping import policy_shaping

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
