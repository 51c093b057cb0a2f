"""Reward computed by a Python function."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from igrpo.rewards.base import as_list, number, plain
from igrpo.types import Completion, Question, Score

log = logging.getLogger(__name__)

#: Number of values after which a threshold that none or all of them exceed is reported.
_ENOUGH = 64


class FunctionReward:
    """Reward that calls ``function(question, completions)``, which returns one number per completion.

    The numbers may be of Python, numpy or torch, in a list, an array or a tensor. The function may be a coroutine
    function. In place of a number it may return a Score, or None for no score.

    Args:
        function: the function. A plain function blocks sampling while it runs, so make a function that waits ``async``.
        name: name of the reward, in messages.
        correct_above: a completion counts as right (``Score.correct``) when its value is above this.
    """

    def __init__(self, function: Callable[..., Any], *, name: str, correct_above: float) -> None:
        self.name = name
        self._function, self._threshold = function, correct_above
        self._count, self._lowest, self._highest = 0, float("inf"), float("-inf")

    async def score(self, question: Question, completions: Sequence[Completion]) -> Any:
        """Call the function and convert its numbers to Scores; `checked_score` rejects anything else."""
        values = self._function(question, completions)
        if inspect.isawaitable(values):
            values = await values
        listed = as_list(values)
        return values if listed is None else [self._score(value) for value in listed]

    def close(self) -> None:
        """Do nothing: there is nothing to stop."""

    def _score(self, value: object) -> object:
        given = plain(value)
        found = float(given) if isinstance(given, bool) else number(given)
        if found is None:
            return value
        self._watch(found)
        correct = found > self._threshold
        return Score(found, correct, "right" if correct else "wrong")

    def _watch(self, value: float) -> None:
        """Warn once if all values are on the same side of the threshold, since every accuracy would then be 0 or 1."""
        if not math.isfinite(value):
            return  # rejected by `checked_score`
        self._lowest, self._highest = min(self._lowest, value), max(self._highest, value)
        self._count += 1
        same = self._highest <= self._threshold or self._lowest > self._threshold
        if self._count == _ENOUGH and same and (self._lowest, self._highest) not in {(0, 0), (1, 1)}:
            verdict = "right" if self._lowest > self._threshold else "wrong"
            log.warning(
                "reward '%s': its first %d values, from %g to %g, all count as %s, since right is what is above "
                "reward.correct_above=%g; set it to fit the reward's scale, or every accuracy says nothing",
                self.name, _ENOUGH, self._lowest, self._highest, verdict, self._threshold,
            )  # fmt: skip
