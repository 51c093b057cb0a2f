r"""The lax reading of a completion: everything that a generous reader could take for its answer.

It is an upper bound of what another verifier would accept, not a verdict to report: who writes many numbers is more
often right. In the order in which they are tried:

statement
    the last statement in any form (box, tag or words), also in thinking that was never closed, by lax conventions: any
    reading of a percent sign, a base left out, unfinished work
rounded
    a decimal within 0.1 % of the gold answer
another_box
    any other box in the text
last_number
    the last number in the text
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from igrpo.data.boxed import boxes
from igrpo.rewards.math.extraction import ANSWER_FORMATS, extract_answer, extract_gold
from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.numbers import Number, parse_number
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.types import Question

#: Why a lax reading accepts what the main verdict does not.
LAX_REASONS = {
    "statement": "the same statement, or one in another form, by laxer conventions",
    "rounded": "a decimal within 0.1 % of the gold answer",
    "another_box": "another box in the text",
    "last_number": "the last number in the text",
}

_MOST_BOXES = 8
_TOLERANCE = Fraction(1, 1000)
#: Characters at the end of a completion in which its last number is looked for.
_NUMBER_WITHIN = 2000
_NUMBER = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:/[0-9]+)?")
_CLOSING_TAG = re.compile(r"<\s*/?\s*answer\s*>", re.IGNORECASE)


class LaxReader:
    """Reads completions laxly. Comparisons are made by the verifier's worker processes.

    Args:
        settings: those of the main verifier, for its limits.
    """

    def __init__(self, settings: MathVerifyConfig) -> None:
        lax: dict[str, Any] = {
            "answer_format": ("answer_tag",), "percent": "any", "base_subscript": "optional", "unevaluated": "accepted",
        }  # fmt: skip
        self._verifier = MathVerifier(**(settings.model_dump(exclude={"name"}) | lax))
        self._longest = settings.max_answer_chars

    def reasons(self, question: Question, texts: Sequence[str]) -> list[str | None]:
        """Return per text why it may count as right; None if nothing in it equals the gold answer."""
        candidates = [self._candidates(text) for text in texts]
        asked = list(dict.fromkeys(answer for found in candidates for _, answer in found))
        wrapped = [f"<answer>{answer}</answer>" for answer in asked]
        scores = self._verifier.score_sync(question, wrapped) if asked else []
        right = {answer for answer, score in zip(asked, scores, strict=True) if score.correct is True}
        gold = parse_number(normalise(extract_gold(question.answer)))
        return [_reason(found, right, gold) for found in candidates]

    def close(self) -> None:
        """Kill the verifier's workers. Safe to call twice."""
        self._verifier.close()

    def _candidates(self, text: str) -> list[tuple[str, str]]:
        statement = extract_answer(text, ANSWER_FORMATS, unfinished_thinking=True)
        found = [("statement", statement)] if statement is not None else []
        found += [("another_box", box.content.strip()) for box in reversed(boxes(text)[-_MOST_BOXES:])]
        numbers = _NUMBER.findall(text[-_NUMBER_WITHIN:])
        found += [("last_number", numbers[-1])] if numbers else []
        # A tag inside an answer would end the one around it.
        return [(why, one) for why, one in found if 0 < len(one) <= self._longest and not _CLOSING_TAG.search(one)]


def _reason(candidates: Sequence[tuple[str, str]], right: set[str], gold: Number | None) -> str | None:
    for why, answer in candidates:
        if answer in right:
            return why
        if why == "statement" and gold is not None and _is_close(gold, answer):
            return "rounded"
    return None


def _is_close(gold: Number, answer: str) -> bool:
    """True for a decimal near the gold answer, or a number near a decimal gold answer. Two integers are never close."""
    number = parse_number(normalise(answer))
    if number is None or (number.decimals is None and gold.decimals is None):
        return False
    return abs(number.value - gold.value) <= abs(gold.value) * _TOLERANCE
