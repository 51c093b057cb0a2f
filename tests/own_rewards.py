"""Rewards of a user's own (``reward=python reward.target=tests.own_rewards:NAME``), whose verdicts are known."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from igrpo.types import Completion, Question, Score


def even(question: Question, completions: Sequence[Completion]) -> list[float]:
    """Right: an even sum of the token ids."""
    return [float(sum(c.token_ids) % 2 == 0) for c in completions]


class RightAtFirst:
    """The first answers that it sees of a question are right, but for the last of them; all later ones are wrong: where
    drafts are scored before their refinements, a draft is worth nothing."""

    name = "right_at_first"

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        self._seen[question.id] += 1
        first, last = self._seen[question.id] == 1, len(completions) - 1
        rights = [first and (j < last or last == 0) for j in range(len(completions))]
        return [Score(float(right), right, "right" if right else "wrong") for right in rights]

    def close(self) -> None: ...


class SlowAfterEight:
    """Half of the answers are right; from its ninth call on it takes longer than anybody waits."""

    name = "slow_after_eight"

    def __init__(self) -> None:
        self._calls = 0

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        self._calls += 1
        if self._calls > 8:
            await asyncio.sleep(3600)
        rights = [j % 2 == 0 for j in range(len(completions))]
        return [Score(float(right), right, "right" if right else "wrong") for right in rights]

    def close(self) -> None: ...


class Never:
    """Has no score for anything."""

    name = "never"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score | None]:
        return [None] * len(completions)

    def close(self) -> None: ...


class NoVerdicts:
    """Does not say what is right."""

    name = "no_verdicts"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        return [Score(0.5, None, "wrong")] * len(completions)

    def close(self) -> None: ...
