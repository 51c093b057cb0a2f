"""Weighted sum of several rewards."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

from igrpo.rewards.base import LARGEST_REWARD, Measure, Measured, Reward, RewardError, added, checked_score
from igrpo.types import Completion, Question, Score


class WeightedSum:
    """Reward whose value is the weighted sum of the values of its parts.

    Correctness, outcome and answer of a completion are taken from one part: the first that knows the correctness,
    else the first that checks correctness but has no verdict, else the first part. ``Score.parts`` holds the
    unweighted value of each part.

    Args:
        parts: name, reward and weight of each part; names are unique.

    Raises:
        ValueError: there are no parts, a name occurs twice, or a weight is not a finite number.
        RewardError: (from ``score``) a part broke its contract.
    """

    name = "weighted_sum"

    def __init__(self, parts: Sequence[tuple[str, Reward, float]]) -> None:
        names = [name for name, _, _ in parts]
        if not parts or len(set(names)) != len(names):
            raise ValueError(f"parts={names}: give at least one part, each with a name of its own")
        for name, _, weight in parts:
            if not math.isfinite(weight):
                raise ValueError(f"weight of '{name}'={weight}: must be a finite number")
        self._parts = tuple(parts)

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score | None]:
        """Return one Score per completion, None if any part gave none. The parts are scored concurrently."""
        columns = await asyncio.gather(*(checked_score(reward, question, completions) for _, reward, _ in self._parts))
        rows = (tuple(score for score in row if score is not None) for row in zip(*columns, strict=True))
        return [self._sum(question, row) if len(row) == len(self._parts) else None for row in rows]

    def step_measures(self) -> Mapping[str, Measure]:
        """Add up the measures of all parts that have measures (see `igrpo.rewards.base.Measured`)."""
        return added(reward.step_measures() for _, reward, _ in self._parts if isinstance(reward, Measured))

    def close(self) -> None:
        """Close every part."""
        for _, reward, _ in self._parts:
            reward.close()

    def _sum(self, question: Question, row: tuple[Score, ...]) -> Score:
        judge = min(row, key=_precedence)
        return Score(
            value=math.fsum(
                _weighed(name, weight, score.value, question)
                for (name, _, weight), score in zip(self._parts, row, strict=True)
            ),
            correct=judge.correct,
            outcome=judge.outcome,
            answer=judge.answer,
            parts={name: score.value for (name, _, _), score in zip(self._parts, row, strict=True)},
        )


def _precedence(score: Score) -> int:
    """Rank a score as the source of correctness, lowest first; ``min`` keeps the order of the parts among equals."""
    if score.correct is not None:
        return 0
    return 1 if score.outcome not in ("right", "wrong", "unparsable") else 2


def _weighed(name: str, weight: float, value: float, question: Question) -> float:
    weighed = weight * value
    if abs(weighed) > LARGEST_REWARD:
        raise RewardError(
            f"part '{name}' of the weighted reward, on question '{question.id}': its value {value:g} times its weight "
            f"{weight:g} is above {LARGEST_REWARD:g} in size; lower the weight"
        )
    return weighed
