"""What each published objective is, in the arguments of group_advantages and policy_loss."""

from typing import Any

#: Divisor of Dr. GRPO in these tests; in training it is the longest completion allowed.
MAX_LENGTH = 16

_MEAN_STD = {"baseline": "mean", "scale": "std", "std": "sample", "std_eps": 0.0, "tolerance": 1e-9}
_NO_KL = {"kl_beta": 0.0, "kl_estimator": "k3", "entropy_bonus": 0.0}

ADVANTAGES: dict[str, dict[str, Any]] = {
    "grpo": _MEAN_STD,
    "dr_grpo": _MEAN_STD | {"scale": "none"},
    "dapo": _MEAN_STD,
    "gspo": _MEAN_STD,
    "cispo": _MEAN_STD,
    "rloo": _MEAN_STD | {"baseline": "leave_one_out", "scale": "none"},
}

LOSSES: dict[str, dict[str, Any]] = {
    "grpo": _NO_KL
    | {
        "ratio": "token",
        "surrogate": "clip",
        "clip_low": 0.2,
        "clip_high": 0.2,
        "aggregation": "sequence_mean",
        "constant_divisor": None,
    },
}
LOSSES["dr_grpo"] = LOSSES["grpo"] | {"aggregation": "constant", "constant_divisor": float(MAX_LENGTH)}
LOSSES["dapo"] = LOSSES["grpo"] | {"clip_high": 0.28, "aggregation": "token_mean"}
LOSSES["gspo"] = LOSSES["grpo"] | {"ratio": "sequence", "clip_low": 3e-4, "clip_high": 4e-4}
LOSSES["cispo"] = LOSSES["dapo"] | {"surrogate": "detached", "clip_low": None}
LOSSES["rloo"] = LOSSES["grpo"] | {
    "surrogate": "reinforce",
    "clip_low": None,
    "clip_high": None,
    "aggregation": "constant",
    "constant_divisor": 1.0,
}

PRESETS = tuple(LOSSES)
