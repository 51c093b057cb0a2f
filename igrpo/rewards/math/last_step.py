r"""Comparison of a completion's ``\boxed{}`` answer with the result of its last computed step.

The last step is the number after the last ``=`` (or ``\approx``) before the box: ``...=4*8=2\boxed{2}``, or
``so $x = 3 + 4 = 7$ metres, hence \boxed{7}``. Only numbers are compared. If the last step or the box is not a number,
there is no comparison.

An answer may differ for a valid reason (``m=3`` and ``n=4``, hence ``m+n`` is ``\boxed{7}``). The signal is a rising
share of such answers: it shows that the steps a policy writes no longer determine its answer.
"""

from __future__ import annotations

import re

from igrpo.data.boxed import last_boxed
from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.numbers import Number, numbers_equal, parse_number

_BOX = re.compile(r"\\f?boxed\s*\{|\\fbox\s*\{")
#: Sign before the result of a step: not <=, >=, !=, := or ==.
_STEP = re.compile(r"(?<![<>!:=])=(?!=)|≈|\\approx(?![a-zA-Z])")
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,8}|[0-9]{1,30})(?:\.[0-9]{1,30})?"
_RESULT = re.compile(
    rf"[\s$]*(?:\\[(\[])?\s*(?P<number>[-−]?(?:\\[dt]?frac\{{-?[0-9]{{1,30}}\}}\{{-?[0-9]{{1,30}}\}}"
    rf"|{_DIGITS}(?:/[0-9]{{1,30}})?))"
)
#: Text that continues the expression, so that the number is not its result (a percent sign belongs to the number).
_GOES_ON = re.compile(
    r"[A-Za-z0-9_(\[{]|\.[0-9]|\s*(?:[-+*/^!×·÷−]|\\(?:times|cdot|div|pm|mp|sqrt|[dt]?frac|pi)(?![a-zA-Z]))"
)
#: Characters before the box that are searched for the step, and longest content of a box with a number.
_REACH, _LONGEST = 2000, 80


def answer_differs(text: str) -> bool | None:
    """Return True if the boxed answer and the last step are different numbers, None if one of them is not a number.

    Takes time linear in the length of the text.
    """
    box = _last_box(text)
    if box is None:
        return None
    start, content = box
    answer = _number(content.rpartition("=")[2])
    step = _last_result(text[max(0, start - _REACH) : start])
    if answer is None or step is None:
        return None
    return not (numbers_equal(step, answer) or numbers_equal(answer, step))


def _last_box(text: str) -> tuple[int, str] | None:
    """Return the start and the content of the last box; None without a complete, short box."""
    start = max((match.start() for match in _BOX.finditer(text)), default=None)
    content = None if start is None else last_boxed(text[start:])
    return None if start is None or content is None or len(content) > _LONGEST else (start, content)


def _last_result(before: str) -> Number | None:
    signs = list(_STEP.finditer(before))
    if not signs:
        return None
    found = _RESULT.match(before, signs[-1].end())
    if found is None or _GOES_ON.match(before, found.end()):
        return None
    return _number(found["number"])


def _number(text: str) -> Number | None:
    normal = normalise(text.strip().strip("$").removesuffix(r"\%").removesuffix("%"))
    return parse_number(normal)
