"""Conventions that decide the equality of answers where mathematics does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

#: Numbers that ``28%`` is equal to: none, 28, 0.28, or both.
PercentPolicy = Literal["strict", "number", "value", "any"]
#: Whether the answer ``52`` is right for the gold answer ``52_8``. A wrong base is never right.
BasePolicy = Literal["required", "optional"]
#: Whether `\\gcd(12,18)`, a sum or a sine is accepted if the gold answer has no such operation.
UnevaluatedPolicy = Literal["rejected", "accepted"]


@dataclass(frozen=True, slots=True)
class AnswerConventions:
    """Conventions of a verifier.

    Raises:
        ValueError: a convention is unknown.
    """

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
