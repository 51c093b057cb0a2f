"""The Protocol of a reward, and the check that every reward's result passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from igrpo.types import OUTCOMES, Completion, Question, Score


class RewardError(RuntimeError):
    """A reward broke its contract; the message names the reward, the question and what came back."""


@runtime_checkable
class Reward(Protocol):
    """Scores completions of one question. The same reward ranks drafts and scores refinements."""

    name: str

    async def score(self, question: Question, completions: Sequence[Completion]) -> Sequence[Score]:
        """One Score a completion, in order. Called from any event loop, many questions at a time."""
        ...

    def close(self) -> None:
        """Stop worker processes and connections. Safe to call twice."""
        ...


async def checked_score(reward: Reward, question: Question, completions: Sequence[Completion]) -> tuple[Score, ...]:
    """``reward.score`` with its contract enforced.

    Raises:
        RewardError: not one Score a completion, or a value that is no finite number.
    """
    scores = await reward.score(question, completions)
    where = f"reward '{reward.name}' on question '{question.id}'"
    if not isinstance(scores, Sequence) or len(scores) != len(completions):
        count = len(scores) if isinstance(scores, Sequence) else repr(scores)
        raise RewardError(f"{where} returned {count} scores for {len(completions)} completions")
    for i, score in enumerate(scores):
        if not isinstance(score, Score):
            raise RewardError(f"{where} returned {score!r} for completion {i}, not a Score")
        if isinstance(score.value, bool) or not isinstance(score.value, int | float) or not math.isfinite(score.value):
            raise RewardError(f"{where} returned the value {score.value!r} for completion {i}, not a finite number")
        if score.outcome not in OUTCOMES:
            raise RewardError(f"{where} returned the outcome {score.outcome!r} for completion {i}; known: {OUTCOMES}")
    return tuple(scores)
