"""What test-time modes share: equality of answers, and the rewards that pick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from igrpo.rewards.base import Reward


class Equality(Protocol):
    """Tells whether two normalised answers are mathematically equal. Thread-safe; the answers are untrusted."""

    def __call__(self, one: str, other: str, /) -> bool: ...

    def close(self) -> None:
        """Stop worker processes. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Aids:
    """The equality that votes use, and the ``judges`` of the modes that have one, by the modes' names."""

    equality: Equality
    judges: Mapping[str, Reward] = field(default_factory=dict)

    def close(self) -> None:
        """Stop all processes and connections. Safe to call twice."""
        self.equality.close()
        for judge in self.judges.values():
            judge.close()
