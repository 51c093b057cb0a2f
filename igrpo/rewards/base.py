"""The Protocol of a reward, and the check that every reward's result passes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Protocol, runtime_checkable

from igrpo.types import OUTCOMES, Completion, Question, Score


class RewardError(RuntimeError):
    """A reward broke its contract; the message names the reward, the question and what came back."""


class RewardPausedError(RewardError):
    """The reward may not go on now, and nothing is wrong: the run stops as by an interruption.

    ``setting`` is what lets it go on when it is raised, such as ``reward.max_cost``.
    """

    def __init__(self, message: str, setting: str) -> None:
        super().__init__(message, setting)
        self.setting = setting

    def __str__(self) -> str:
        return str(self.args[0])


@runtime_checkable
class Reward(Protocol):
    """Scores completions of one question. The same reward ranks drafts and scores refinements."""

    name: str

    async def score(self, question: Question, completions: Sequence[Completion]) -> Sequence[Score | None]:
        """One Score a completion, in order; None where no score could be had: that completion trains nothing.

        Called from any event loop, many questions at a time.
        """
        ...

    def close(self) -> None:
        """Stop worker processes and connections. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """A count, or the share ``total / of``; measures of several parts or processes add up."""

    total: float
    of: float | None = None

    def __add__(self, other: Measure) -> Measure:
        of = None if self.of is None or other.of is None else self.of + other.of
        return Measure(self.total + other.total, of)


@runtime_checkable
class Measured(Protocol):
    """A reward that has something to report beside its scores."""

    def step_measures(self) -> Mapping[str, Measure]:
        """By the name of the metric, what was counted since the last call, or (where the name says so) so far.

        Several processes report a part each. All names come every time.
        """
        ...


def added(parts: Iterable[Mapping[str, Measure]]) -> dict[str, Measure]:
    """The measures of several parts or processes as one."""
    result: dict[str, Measure] = {}
    for part in parts:
        for name, measure in part.items():
            result[name] = result[name] + measure if name in result else measure
    return result


def measured_values(measures: Mapping[str, Measure]) -> dict[str, float]:
    """Counts as they are, and shares of anything; a share of nothing is left out."""
    return {
        name: measure.total if measure.of is None else measure.total / measure.of
        for name, measure in measures.items()
        if measure.of is None or measure.of > 0
    }


async def checked_score(
    reward: Reward, question: Question, completions: Sequence[Completion]
) -> tuple[Score | None, ...]:
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
        if score is None:
            continue
        if not isinstance(score, Score):
            raise RewardError(f"{where} returned {score!r} for completion {i}, not a Score")
        value: object = score.value
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise RewardError(f"{where} returned the value {score.value!r} for completion {i}, not a finite number")
        if score.outcome not in OUTCOMES:
            raise RewardError(f"{where} returned the outcome {score.outcome!r} for completion {i}; known: {OUTCOMES}")
    return tuple(None if score is None else replace(score, value=float(score.value)) for score in scores)
