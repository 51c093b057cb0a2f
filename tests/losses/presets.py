"""The shipped objectives as plain values, for group_advantages and `batches.loss_of`."""

from typing import Any

from tests.composed import config

#: Longest completion of these tests, and so Dr. GRPO's divisor.
MAX_LENGTH = 16

PRESETS = ("grpo", "dr_grpo", "dapo", "gspo", "cispo", "rloo")

LOSSES: dict[str, dict[str, Any]] = {
    name: config(None, f"objective={name}", f"sampling.max_completion_tokens={MAX_LENGTH}").objective.model_dump()
    for name in PRESETS
}

#: A tolerance far below the differences of these tests' rewards.
ADVANTAGES: dict[str, dict[str, Any]] = {
    name: {key: value for key, value in objective["advantage"].items() if key != "select"} | {"tolerance": 1e-9}
    for name, objective in LOSSES.items()
}

NO_WEIGHTS = config(None, "correction=none").correction
