"""Where convention, not mathematics, decides whether two answers are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

#: What ``28%`` equals beside itself: nothing, 28, 0.28, or both.
PercentPolicy = Literal["strict", "number", "value", "any"]
#: Whether an answer ``52`` to the gold ``52_8`` is right. A wrong base never is.
BasePolicy = Literal["required", "optional"]
#: Whether `\\gcd(12,18)`, a sum or a sine answers a gold answer that has no such operation.
UnevaluatedPolicy = Literal["rejected", "accepted"]


@dataclass(frozen=True, slots=True)
class AnswerConventions:
    """The conventions of one verifier. Raises ValueError on an unknown one."""

    percent: PercentPolicy
    base_subscript: BasePolicy
    unevaluated: UnevaluatedPolicy

    def __post_init__(self) -> None:
        for name, value, known in (
            ("percent", self.percent, get_args(PercentPolicy)),
            ("base_subscript", self.base_subscript, get_args(BasePolicy)),
            ("unevaluated", self.unevaluated, get_args(UnevaluatedPolicy)),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r}: choose one of {list(known)}")
