"""Interface of a comparison of two answers, as used by rules."""

from __future__ import annotations

from typing import Protocol

from igrpo.rewards.math.conventions import AnswerConventions


class Comparing(Protocol):
    """Comparison of two answers that a rule belongs to."""

    conventions: AnswerConventions

    @property
    def within(self) -> bool:
        """True while elements of the answers are compared, not the whole answers."""
        ...

    def same(self, gold: str, answer: str) -> bool:
        """Compare two rewritten forms of the answers."""
        ...

    def same_part(self, gold: str, answer: str) -> bool:
        """Compare one element of each answer."""
        ...
