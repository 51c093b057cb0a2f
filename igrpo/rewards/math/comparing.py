"""The comparison that a rule is a part of, as the rule sees it."""

from __future__ import annotations

from typing import Protocol

from igrpo.rewards.math.conventions import AnswerConventions


class Comparing(Protocol):
    """The comparison that a rule is a part of."""

    conventions: AnswerConventions

    @property
    def within(self) -> bool:
        """Tell whether elements of the answers are being compared, and not the answers."""
        ...

    def same(self, gold: str, answer: str) -> bool:
        """Compare the answers in another form."""
        ...

    def same_part(self, gold: str, answer: str) -> bool:
        """Compare an element of both."""
        ...
