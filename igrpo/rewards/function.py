"""A plain function as a reward."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from igrpo.rewards.base import as_list, number, plain
from igrpo.types import Completion, Question, Score

log = logging.getLogger(__name__)

#: Values after which a threshold that none or all of them pass is reported.
_ENOUGH = 64


class FunctionReward:
    """A Reward made of ``function(question, completions)``, which returns one number per completion.

    Numbers may be Python's, numpy's or torch's, in a list, an array or a tensor. The function may be a coroutine
    function. It may return a Score in place of a number, and None where it has none.

    Args:
        function: a plain function holds up sampling while it runs; make one that waits ``async``.
        name: of the reward, in messages.
        correct_above: a completion counts as right (``Score.correct``) when its value is above this.
    """

    def __init__(self, function: Callable[..., Any], *, name: str, correct_above: float) -> None:
        self.name = name
        self._function, self._threshold = function, correct_above
        self._count, self._lowest, self._highest = 0, float("inf"), float("-inf")

    async def score(self, question: Question, completions: Sequence[Completion]) -> Any:
        """Return what the function gave, with numbers made Scores; `checked_score` refuses anything else."""
        values = self._function(question, completions)
        if inspect.isawaitable(values):
            values = await values
        listed = as_list(values)
        return values if listed is None else [self._score(value) for value in listed]

    def close(self) -> None:
        """Nothing to stop."""

    def _score(self, value: object) -> object:
        given = plain(value)
        found = float(given) if isinstance(given, bool) else number(given)
        if found is None:
            return value
        self._watch(found)
        correct = found > self._threshold
        return Score(found, correct, "right" if correct else "wrong")

    def _watch(self, value: float) -> None:
        """Report a threshold that tells nothing apart, once: every accuracy would be 0 or 1 whatever is written."""
        if not math.isfinite(value):
            return  # refused by `checked_score`
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
