"""The interface of a reward, and the check of what a reward returns."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Final, Protocol, runtime_checkable

from igrpo.types import OUTCOMES, Completion, Question, Score

#: Largest absolute value of a reward: the sum of squares over the completions of a step still fits float32.
LARGEST_REWARD: Final = 1e15


class RewardError(RuntimeError):
    """A reward broke its contract; the message names the reward, the question and what came back."""


class RewardPausedError(RewardError):
    """The reward has reached a limit: the run stops as if interrupted, and can be resumed.

    ``setting`` is the limit to raise, such as ``reward.max_cost``.
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

    def score(
        self, question: Question, completions: Sequence[Completion]
    ) -> Sequence[Score | None] | Awaitable[Sequence[Score | None]]:
        """Return one Score per completion, in order. None: no score, and the completion is not trained on.

        Usually a coroutine (``async def``), called from any event loop, for many questions at a time. A plain method
        blocks sampling while it runs.
        """
        ...

    def close(self) -> None:
        """Stop worker processes and connections. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """A count, or the share ``total / of``. Measures of several parts or processes can be added."""

    total: float
    of: float | None = None

    def __add__(self, other: Measure) -> Measure:
        of = None if self.of is None or other.of is None else self.of + other.of
        return Measure(self.total + other.total, of)


@runtime_checkable
class Measured(Protocol):
    """A reward that reports metrics of its own."""

    def step_measures(self) -> Mapping[str, Measure]:
        """Return measures since the last call (or since the start, where the metric's name says so), by metric name.

        With several processes, each reports its part. Every call returns all names.
        """
        ...


def added(parts: Iterable[Mapping[str, Measure]]) -> dict[str, Measure]:
    """Add up the measures of several parts or processes."""
    result: dict[str, Measure] = {}
    for part in parts:
        for name, measure in part.items():
            result[name] = result[name] + measure if name in result else measure
    return result


def measured_values(measures: Mapping[str, Measure]) -> dict[str, float]:
    """Return counts, and shares whose denominator is not 0."""
    return {
        name: measure.total if measure.of is None else measure.total / measure.of
        for name, measure in measures.items()
        if measure.of is None or measure.of > 0
    }


async def checked_score(
    reward: Reward, question: Question, completions: Sequence[Completion]
) -> tuple[Score | None, ...]:
    """Score completions and check the result; numbers of numpy and torch are converted to Python's.

    Raises:
        RewardError: the reward raised, did not return one Score per completion, or returned an invalid Score.
    """
    where = f"reward '{reward.name}' on question '{question.id}'"
    try:
        scores = reward.score(question, completions)
        if inspect.isawaitable(scores):
            scores = await scores
    except RewardError:
        raise
    except Exception as error:
        raise RewardError(f"{where} raised {type(error).__name__}: {error}") from error
    listed = as_list(scores)
    if listed is None or len(listed) != len(completions):
        found = f"{scores!r}, not a list of scores," if listed is None else f"{len(listed)} scores"
        raise RewardError(f"{where} returned {found} for {len(completions)} completions")
    return tuple(
        None if score is None else _checked(score, f"{where} returned", f"for completion {i}")
        for i, score in enumerate(listed)
    )


def as_list(values: object) -> list[Any] | None:
    """Return the elements of a sequence, an array or a tensor as a list; None for anything else."""
    tolist = getattr(values, "tolist", None)
    values = tolist() if callable(tolist) else values
    return list(values) if isinstance(values, Sequence) else None


def plain(value: object) -> object:
    """Convert a scalar of numpy or torch to Python's; return anything else unchanged."""
    item = getattr(value, "item", None)
    try:
        return item() if callable(item) else value
    except (TypeError, ValueError, RuntimeError):  # an array of several
        return value


def number(value: object) -> float | None:
    """Convert a real number (not a bool) to a float; None for anything else."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of many digits
        return math.inf


def _checked(score: object, returned: str, which: str) -> Score:
    if not isinstance(score, Score):
        raise RewardError(f"{returned} {score!r} {which}, not a Score")
    if not isinstance(score.outcome, str) or score.outcome not in OUTCOMES:
        raise RewardError(f"{returned} the outcome {score.outcome!r} {which}; known: {OUTCOMES}")
    if not isinstance(score.answer, str | None):
        raise RewardError(f"{returned} the answer {score.answer!r} {which}, not a text or None")
    correct = plain(score.correct)
    if correct is not None and not (isinstance(correct, Real) and correct in (0, 1)):  # 1 == 1.0 == True
        raise RewardError(f"{returned} correct={score.correct!r} {which}, not True, False or None (unknown)")
    if not isinstance(score.parts, Mapping):
        raise RewardError(f"{returned} parts={score.parts!r} {which}, not a mapping of names to numbers")
    return replace(
        score,
        value=_finite(score.value, f"{returned} the value", which),
        correct=None if correct is None else bool(correct),
        answer=None if score.answer is None else str(score.answer),
        parts={
            str(name): _finite(value, f"{returned} the part {name!r} as", which) for name, value in score.parts.items()
        },
    )


def _finite(value: object, returned: str, which: str) -> float:
    found = number(value)
    if found is None or not math.isfinite(found):
        raise RewardError(f"{returned} {value!r} {which}, not a finite number")
    if abs(found) > LARGEST_REWARD:
        raise RewardError(
            f"{returned} {value!r} {which}, above {LARGEST_REWARD:g} in size: the mean and the spread of rewards "
            "overflow; scale it down"
        )
    return found
