"""The Protocol of a reward, and the check that every reward's result passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
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
        RewardError: it raised, or gave not one Score a completion, or a value that is no finite number.
    """
    where = f"reward '{reward.name}' on question '{question.id}'"
    try:
        scores = await reward.score(question, completions)
    except RewardError:
        raise
    except Exception as error:
        raise RewardError(f"{where} raised {type(error).__name__}: {error}") from error
    if not isinstance(scores, Sequence) or len(scores) != len(completions):
        count = len(scores) if isinstance(scores, Sequence) else repr(scores)
        raise RewardError(f"{where} returned {count} scores for {len(completions)} completions")
    for i, score in enumerate(scores):
        if not isinstance(score, Score):
            raise RewardError(f"{where} returned {score!r} for completion {i}, not a Score")
        value: object = score.value
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise RewardError(f"{where} returned the value {score.value!r} for completion {i}, not a finite number")
        if score.outcome not in OUTCOMES:
            raise RewardError(f"{where} returned the outcome {score.outcome!r} for completion {i}; known: {OUTCOMES}")
    return tuple(replace(score, value=float(score.value)) for score in scores)
