"""Reward for completions that follow the think/answer layout."""

from __future__ import annotations

import re
from collections.abc import Sequence

from igrpo.types import Completion, Question, Score

_LAYOUT = re.compile(r"\s*<think>.*</think>\s*<answer>.*</answer>\s*", re.DOTALL)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


class FormatReward:
    """Reward of 1 for ``<think>...</think><answer>...</answer>``, with each tag once and nothing around them, else 0.

    It does not judge correctness (``correct`` is None). The outcomes ``right`` and ``wrong`` refer to the layout.
    """

    name = "format"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        """Return one Score per completion."""
        return [self._score(completion.text) for completion in completions]

    def close(self) -> None:
        """Do nothing: there is nothing to stop."""

    @staticmethod
    def _score(text: str) -> Score:
        kept = all(text.count(tag) == 1 for tag in _TAGS) and _LAYOUT.fullmatch(text) is not None
        return Score(value=float(kept), correct=None, outcome="right" if kept else "wrong")
