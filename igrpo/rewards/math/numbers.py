r"""Exact comparison of single numbers: integers, decimals, fractions, mixed numbers, ``4.5e33``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

#: A decimal counts as an exact value if the value, rounded or truncated, is the decimal. It needs this many
#: significant digits ...
SIGNIFICANT_DIGITS = 6
#: ... and this many decimals, unless the decimal is the gold answer.
DECIMALS = 4
_MAX_EXPONENT = 400

_UNSIGNED = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?)"
_DECIMAL = re.compile(rf"(?P<digits>{_UNSIGNED})")
_SCIENTIFIC = re.compile(
    rf"(?P<digits>{_UNSIGNED})(?:[eE](?P<plain>[-+]?[0-9]+)"
    rf"|(?:\\cdot ?|\*| ?x ?)10\^(?:\{{(?P<braced>[-+]?[0-9]+)\}}|(?P<one>[0-9])))"
)
_FRACTION = re.compile(
    rf"(?P<whole>[0-9]+(?= ?\\| [0-9]))? ?"
    rf"(?:\\frac\{{(?P<n>-?{_UNSIGNED})\}}\{{(?P<d>-?{_UNSIGNED})\}}|(?P<n2>{_UNSIGNED})/(?P<d2>{_UNSIGNED}))"
)
_MULTIPLES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MULTIPLIED = re.compile(rf"(?P<digits>{_UNSIGNED}) ?(?:\\text\{{)?(?P<multiple>(?:{'|'.join(_MULTIPLES)})s?)\}}?")
_REPEATING = re.compile(r"(?P<int>[0-9]*)\.(?P<head>[0-9]*)\\(?:overline|bar|dot) ?\{?(?P<cycle>[0-9]+)\}?")
_DOTTED = re.compile(r"(?P<int>[0-9]*)\.(?P<head>[0-9]*?)(?P<cycle>[0-9]{1,6}?)(?P=cycle){2,}\\ldots")

_BASE_NAMES = {
    name: str(base) for base, name in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine"), 2)
}
_BASED = re.compile(
    r"(?P<digits>[0-9A-Fa-f]+) ?_\{?\(?(?:\\text\{(?:base ?)?)?\}?"
    rf"(?P<base>[0-9]+|{'|'.join(_BASE_NAMES)})\}}*\)?\}}?"
)


@dataclass(frozen=True, slots=True)
class Number:
    """Exact value and, if it was written as a decimal, its numbers of decimals and of significant digits."""

    value: Fraction
    decimals: int | None = None
    significant: int = 0


def parse_number(text: str) -> Number | None:
    """Parse a normalised answer as a number; None for anything else."""
    negative = text.startswith("-")
    body = text[1:].lstrip() if negative else text
    if body.startswith("(") and body.endswith(")") and body.count("(") == 1 and "," not in body:
        body = body[1:-1]
    if not body or len(body) > 2000 or not (body[0].isdigit() or body[0] in ".\\"):
        return None
    number = _unsigned(body)
    if number is None or not negative:
        return number
    return Number(-number.value, number.decimals, number.significant)


def _unsigned(body: str) -> Number | None:
    for shape, read in _SHAPES:
        if match := shape.fullmatch(body):
            return read(match)
    return None


def _decimal(digits: str) -> Number:
    digits = digits.replace(",", "").rstrip(".")
    whole, point, decimals = digits.partition(".")
    if not point or not decimals.strip("0"):
        return Number(_integer(whole or "0"))
    value = Fraction(_integer(whole + decimals).numerator, 10 ** len(decimals))
    return Number(value, len(decimals), len((whole + decimals).lstrip("0")))


def _integer(digits: str) -> Fraction:
    # int() refuses more than 4,300 digits; answers are shorter, and the text was cut at 2,000 characters.
    return Fraction(int(digits))


def _fraction(match: re.Match[str]) -> Number | None:
    top, bottom = match["n"] or match["n2"], match["d"] or match["d2"]
    numerator, denominator = _signed(top), _signed(bottom)
    if denominator == 0:
        return None
    part = numerator / denominator
    if match["whole"] is None:
        return Number(part)
    if not 0 < part < 1 or part.numerator > 10**6:
        return None  # `2\frac{5}{3}` is a product to some and a mistake to others
    return Number(int(match["whole"]) + part)


def _signed(digits: str) -> Fraction:
    return -_decimal(digits[1:]).value if digits.startswith("-") else _decimal(digits).value


def _repeating(whole: str, head: str, cycle: str) -> Fraction:
    scale: int = 10 ** len(head)
    repeated: int = 10 ** len(cycle) - 1
    return Fraction(int(whole + head or "0") * repeated + int(cycle), repeated * scale)


def _scientific(match: re.Match[str]) -> Number | None:
    exponent = int(match["plain"] or match["braced"] or match["one"])
    if abs(exponent) > _MAX_EXPONENT:
        return None
    return Number(_decimal(match["digits"]).value * Fraction(10) ** exponent)


_SHAPES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Number | None]], ...] = (
    (_DECIMAL, lambda match: _decimal(match["digits"])),
    (_FRACTION, _fraction),
    (_SCIENTIFIC, _scientific),
    (_MULTIPLIED, lambda match: Number(_decimal(match["digits"]).value * _MULTIPLES[match["multiple"].rstrip("s")])),
    (_REPEATING, lambda match: Number(_repeating(match["int"], match["head"], match["cycle"]))),
    (_DOTTED, lambda match: Number(_repeating(match["int"], match["head"], match["cycle"]))),
)


def numbers_equal(gold: Number, answer: Number) -> bool:
    """True if two numbers are equal, or one is a decimal that the other rounds or truncates to.

    A rounded answer needs SIGNIFICANT_DIGITS significant digits, DECIMALS decimals, and an exact gold answer. An answer
    that is more precise than a decimal gold answer must round to it. Integers are never treated as rounded.
    """
    if gold.value == answer.value:
        return True
    if gold.decimals is not None and (answer.decimals is None or answer.decimals > gold.decimals):
        return stands_for(gold, answer.value, decimals=0)
    return answer.decimals is not None and gold.decimals is None and stands_for(answer, gold.value, DECIMALS)


def stands_for(rounded: Number, exact: Fraction, decimals: int) -> bool:
    """True if the decimal ``rounded`` has enough digits and is ``exact`` rounded or truncated to them."""
    if rounded.decimals is None or rounded.decimals < decimals or rounded.significant < SIGNIFICANT_DIGITS:
        return False
    unit = Fraction(1, 10**rounded.decimals)
    return abs(rounded.value - exact) <= unit / 2 or 0 <= abs(exact) - abs(rounded.value) < unit


def based_number(text: str) -> tuple[str, str] | None:
    r"""Return digits and base of ``52_8``, ``52_{\text{eight}}``, ``52_{(8)}``; None for anything else."""
    match = _BASED.fullmatch(text)
    if match is None:
        return None
    digits, base = match["digits"].lower(), _BASE_NAMES.get(match["base"], match["base"])
    return (digits, base) if all(int(digit, 16) < int(base[:4]) for digit in digits) else None
