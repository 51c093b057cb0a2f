"""The objective: pure tensor functions from rewards to advantages, and from log-probs to a loss.

`igrpo.losses.grpo()` is the loss of GRPO and iGRPO, ready to be called; so are `best_of_n`, `cispo`, `dapo`,
`dr_grpo`, `gspo` and `rloo` (see `igrpo.losses.ready`).
"""

from igrpo.losses.accumulator import Accumulator
from igrpo.losses.advantages import advantages_of, group_advantages, has_variance, imitation_weights
from igrpo.losses.aggregation import Normaliser, aggregate, batch_normaliser
from igrpo.losses.importance_weights import ImportanceWeights, MismatchMetrics, importance_weights
from igrpo.losses.kl import kl_estimate
from igrpo.losses.logprobs import TokenStats, entropy_from_logits, token_logprobs
from igrpo.losses.metrics import LossMetrics
from igrpo.losses.objective import LossOutput, LossTensors, Objective
from igrpo.losses.overlong import overlong_penalty
from igrpo.losses.ready import best_of_n, cispo, dapo, dr_grpo, grpo, gspo, rloo
from igrpo.losses.surrogates import RATIOS, SURROGATES, policy_shaping

__all__ = [
    "RATIOS",
    "SURROGATES",
    "Accumulator",
    "ImportanceWeights",
    "LossMetrics",
    "LossOutput",
    "LossTensors",
    "MismatchMetrics",
    "Normaliser",
    "Objective",
    "TokenStats",
    "advantages_of",
    "aggregate",
    "batch_normaliser",
    "best_of_n",
    "cispo",
    "dapo",
    "dr_grpo",
    "entropy_from_logits",
    "group_advantages",
    "grpo",
    "gspo",
    "has_variance",
    "imitation_weights",
    "importance_weights",
    "kl_estimate",
    "overlong_penalty",
    "policy_shaping",
    "rloo",
    "token_logprobs",
]
