r"""Whether a completion's ``\boxed{}`` answer is what its own last computed step says.

The last step is what stands after the last ``=`` (or ``\approx``) before the box: ``...=4*8=2\boxed{2}``, or
``so $x = 3 + 4 = 7$ metres, hence \boxed{7}``. Only numbers are compared, so that a sentence, a formula or an equation
that does not end on a number says nothing. A text without such a step says nothing either.

An answer may differ for an honest reason (``m=3`` and ``n=4``, hence ``m+n`` is ``\boxed{7}``): what means something is
that the share of such answers rises. Then a policy writes steps for show, and has its answer from elsewhere.
"""

from __future__ import annotations

import re

from igrpo.data.boxed import last_boxed
from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.numbers import Number, numbers_equal, parse_number

_BOX = re.compile(r"\\f?boxed\s*\{|\\fbox\s*\{")
#: What computes: not one of <=, >=, !=, :=, ==.
_STEP = re.compile(r"(?<![<>!:=])=(?!=)|≈|\\approx(?![a-zA-Z])")
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,8}|[0-9]{1,30})(?:\.[0-9]{1,30})?"
_RESULT = re.compile(
    rf"[\s$]*(?:\\[(\[])?\s*(?P<number>[-−]?(?:\\[dt]?frac\{{-?[0-9]{{1,30}}\}}\{{-?[0-9]{{1,30}}\}}"
    rf"|{_DIGITS}(?:/[0-9]{{1,30}})?))"
)
#: What goes on with the expression, so that the number is not its result (a percent sign belongs to the number).
_GOES_ON = re.compile(
    r"[A-Za-z0-9_(\[{]|\.[0-9]|\s*(?:[-+*/^!×·÷−]|\\(?:times|cdot|div|pm|mp|sqrt|[dt]?frac|pi)(?![a-zA-Z]))"
)
#: The step is looked for so far before the box; answers that are numbers are shorter than the other.
_REACH, _LONGEST = 2000, 80


def answer_differs(text: str) -> bool | None:
    """True: the boxed answer is another number than the last step's. None: there are no two numbers to compare.

    Linear in the length of the text.
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
    """Where the last box begins, and what is in it; None without one that ends."""
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
