"""The shipped objectives, in the arguments of group_advantages and policy_loss."""

from typing import Any

from tests.composed import config

#: Longest completion of these tests, and so Dr. GRPO's divisor.
MAX_LENGTH = 16

PRESETS = ("grpo", "dr_grpo", "dapo", "gspo", "cispo", "rloo")

_LOSS = (
    "ratio", "surrogate", "clip_low", "clip_high", "aggregation", "constant_divisor",
    "kl_beta", "kl_estimator", "entropy_bonus",
)  # fmt: skip

_OBJECTIVES = {
    name: config(None, f"objective={name}", f"sampling.max_completion_tokens={MAX_LENGTH}").objective.model_dump()
    for name in PRESETS
}

#: A tolerance far below the differences of these tests' rewards.
ADVANTAGES: dict[str, dict[str, Any]] = {
    name: {key: value for key, value in objective["advantage"].items() if key != "select"} | {"tolerance": 1e-9}
    for name, objective in _OBJECTIVES.items()
}

LOSSES: dict[str, dict[str, Any]] = {
    name: {key: objective[key] for key in _LOSS} for name, objective in _OBJECTIVES.items()
}
