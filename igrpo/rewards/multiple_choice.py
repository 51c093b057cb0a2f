r"""Reward for questions with lettered options.

The last statement of an answer counts: a box, an ``<answer>`` tag, a line such as ``Answer: C``, or the last line of
the completion. Adjacent boxes, tags or such lines are one statement. Thinking is not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from igrpo.data.boxed import Span, boxes, last_answer
from igrpo.data.options import LETTERS
from igrpo.rewards.math.extraction import AnswerFormat
from igrpo.rewards.math.thinking import without_thinking
from igrpo.rewards.multiple_choice_text import LONGEST, named_option
from igrpo.types import Completion, Question, Score

#: Only the end of a completion is read, in characters: the statement that counts is the last one.
_READ: Final = 20_000

_TAG: Final = re.compile(r"<\s?(/?)\s?answer\s?>", re.IGNORECASE)
_ANCHOR: Final = re.compile(
    r"(?<![a-z])(?:answer|option|choice)(?: letter)?[*_]{0,3}\s?"
    r"(?:(?:is|would be|must be|should be)(?![a-z])[:*_ ]{0,4}|[:=])",
    re.IGNORECASE,
)


class MultipleChoiceReward:
    """Reward of 1 for the letter or the text of the right option, else 0.

    Args:
        answer_format: the kinds of statements that count; the last one in the text is the answer.
    """

    name = "multiple_choice"

    def __init__(self, answer_format: Sequence[AnswerFormat] = ("boxed", "answer_tag", "last_line")) -> None:
        self._formats = tuple(answer_format)

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        """Return one Score per completion. ``answer`` is the letter.

        Raises:
            ValueError: the question's answer is not a letter of one of its options.
        """
        known = LETTERS[: len(question.options)] if question.options else LETTERS
        gold = question.answer.strip().upper()
        if len(gold) != 1 or gold not in known:
            raise ValueError(
                f"the answer {question.answer[:80]!r} is no letter of an option: reward=multiple_choice is for data "
                "with options (fields.options), or whose answers are letters"
            )
        return [self._score(gold, completion.text, question.options) for completion in completions]

    def close(self) -> None:
        """Do nothing: there is nothing to stop."""

    def _score(self, gold: str, text: str, options: Sequence[str]) -> Score:
        letter = chosen_option(text, options, self._formats)
        if letter is None:
            return Score(value=0.0, correct=False, outcome="unparsable")
        return Score(float(letter == gold), letter == gold, "right" if letter == gold else "wrong", letter)


def chosen_option(text: str, options: Sequence[str], formats: Sequence[AnswerFormat]) -> str | None:
    """Return the letter of the option that a completion states last; None if it states none, or several at once."""
    text = without_thinking(text)[-_READ:]
    marked = [_boxed(text)] if "boxed" in formats else []
    marked += [_tagged(text)] if "answer_tag" in formats else []
    last = max((one for one in marked if one is not None), key=lambda one: one.start, default=None)
    if "last_line" in formats:
        lines = [line.strip() for line in text[0 if last is None else last.end :].splitlines() if line.strip()]
        stated = _stated(lines)
        if stated:
            letters = {named_option(content, options) for content in stated}
            return letters.pop() if len(letters) == 1 else None
        if last is None:
            return named_option(lines[-1], options, strict=True) if lines else None
    return None if last is None else named_option(last.content, options)


def _boxed(text: str) -> Span | None:
    return last_answer(text, boxes(text))


def _tagged(text: str) -> Span | None:
    tags, start = list[Span](), None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            start = tag
        elif start is not None:
            tags.append(Span(start.start(), tag.end(), text[start.end() : tag.start()]))
            start = None
    return last_answer(text, [tag for tag in tags if tag.content.strip(" .\n")])


def _stated(lines: Sequence[str]) -> list[str]:
    """Return what the last lines that say ``answer is`` or ``Answer:`` state; several, if they follow each other."""
    found: list[str] = []
    for line in reversed(lines):
        anchors = [anchor.end() for anchor in _ANCHOR.finditer(line[-LONGEST:])]
        contents = [part for part in _between(line[-LONGEST:], anchors) if part]
        if found and not contents:
            break
        found += contents
    return found


def _between(line: str, starts: Sequence[int]) -> list[str]:
    return [line[start:end].strip() for start, end in pairwise([*starts, len(line)])]
