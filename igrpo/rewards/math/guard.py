r"""Cheap check of an answer before it is passed to a computer algebra system.

Answers are refused if they contain expressions that no reasonable answer has and that cost minutes or gigabytes: powers
with huge exponents (including towers), factorials of huge numbers, up-arrows, deep nesting and very long text. Answers
that only take long to compare are stopped by the CPU limit. No function here raises, for any text that a model writes.
"""

from __future__ import annotations

import math
import re

MAX_EXPONENT = 100_000
MAX_FACTORIAL = 5_000
MAX_DIGITS = 2_000
MAX_DEPTH = 40
MAX_TOWER = 20

_LONG_NUMBER = re.compile(rf"[0-9]{{{MAX_DIGITS + 1}}}")
_SCIENTIFIC = re.compile(r"[0-9.][eE][-+]?([0-9]{4,})")
_BIG_OPERATOR_LIMIT = re.compile(r"\\(?:sum|prod|int|iint|oint|bigcup|bigcap|lim)\s*(?:_(?:\{[^{}]*\}|\S))?$")
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
_TOKEN = re.compile(rf"{_NUMBER.pattern}|\\[a-zA-Z]+|\S")
_OPERAND = re.compile(r"-?(?:[0-9]+|\\[a-zA-Z]+|.)")


def refusal(text: str, max_chars: int) -> str | None:
    """Return the reason for refusing a normalised answer, None if it may be parsed. Takes microseconds."""
    if len(text) > max_chars:
        return f"longer than {max_chars} characters"
    if "\\uparrow" in text or "↑" in text or "\\Uparrow" in text:
        return "up-arrow notation"
    if _LONG_NUMBER.search(text):
        return f"a number of more than {MAX_DIGITS} digits"
    if any(float(match[1]) > MAX_EXPONENT for match in _SCIENTIFIC.finditer(text)):
        return f"an exponent above {MAX_EXPONENT}"
    if _depth(text) > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH}"
    return _growth(text) if "^" in text or "!" in text else None


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        if character in "({[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")}]":
            depth = max(0, depth - 1)  # an unmatched closing bracket does not reduce the depth of later text
    return deepest


def _growth(text: str) -> str | None:
    partners = _bracket_partners(text)
    for match in re.finditer(r"\^", text):
        if _BIG_OPERATOR_LIMIT.search(text[: match.start()]):
            continue
        exponent = _operand_after(text, match.end(), partners)
        if exponent is None:
            return f"a tower of more than {MAX_TOWER} powers"
        if magnitude(exponent) > MAX_EXPONENT:
            return f"an exponent above {MAX_EXPONENT}"
    for match in re.finditer("!+", text):
        if magnitude(_operand_before(text, match.end() - 1, partners)) > MAX_FACTORIAL:
            return f"the factorial of a number above {MAX_FACTORIAL}"
    return None


def _bracket_partners(text: str) -> dict[int, int]:
    """Map the position of each matched bracket to that of its partner. Any closing bracket matches any opening one."""
    partners, opened = {}, []
    for i, character in enumerate(text):
        if character in "({[":
            opened.append(i)
        elif character in ")}]" and opened:
            start = opened.pop()
            partners[start], partners[i] = i, start
    return partners


def _operand_after(text: str, start: int, partners: dict[int, int]) -> str | None:
    """Return the exponent at ``start`` with following exponents and factorials; None if the tower is too high."""
    end = _group_end(text, start, partners)
    for _ in range(MAX_TOWER):
        if end >= len(text) or text[end] not in "^!":
            return text[start:end]
        end = end + 1 if text[end] == "!" else _group_end(text, end + 1, partners)
    return None


def _group_end(text: str, start: int, partners: dict[int, int]) -> int:
    if start < len(text) and text[start] in "({[":
        return partners.get(start, len(text) - 1) + 1
    match = _OPERAND.match(text, start)
    return match.end() if match else start + 1


def _operand_before(text: str, end: int, partners: dict[int, int]) -> str:
    """Return the number or group before the factorial sign at ``end``, with other factorial signs in between."""
    operand_end = len(text[:end].rstrip("!"))
    start = partners.get(operand_end - 1) if text[operand_end - 1 : operand_end] in (")", "}", "]") else None
    if start is None:
        start = len(text[:operand_end].rstrip("0123456789"))
    return text[start:end]


def magnitude(text: str) -> float:
    """Return an upper bound of the absolute value of an arithmetic expression.

    Letters, unknown tokens, divisors and factors below 1 count as 1; overflow and deep nesting count as infinity.
    """
    return _Magnitude(text).value()


class _Magnitude:
    """Recursive-descent evaluation of sums, products, powers and factorials, in floats that saturate at infinity."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def value(self) -> float:
        total = 0.0
        while self._at < len(self._tokens):
            total += self._sum(depth=0)
            self._at += 1  # an unmatched closing bracket
        return total

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _sum(self, depth: int) -> float:
        total = 0.0
        while (token := self._peek()) and token not in ")}]":
            total += self._product(depth)
        return total

    def _product(self, depth: int) -> float:
        result = 1.0
        while (token := self._peek()) and token not in ")}]":
            if token in "+-":
                self._at += 1
                return result
            if token == "/":
                self._at += 1
                self._power(depth)  # ignored: an integer divisor is at least 1, so the bound holds
                continue
            if token in ("*", "\\cdot", "\\frac"):
                self._at += 1
                continue
            result *= max(self._power(depth), 1.0)
        return result

    def _power(self, depth: int) -> float:
        if depth > MAX_DEPTH + MAX_TOWER:
            self._at = len(self._tokens)
            return math.inf
        base = self._atom(depth)
        while (token := self._peek()) in ("^", "!"):
            self._at += 1
            if token == "!":
                base = math.inf if base > 170 else math.gamma(base + 1)
            else:
                base = _saturating_power(base, self._power(depth + 1))
        return base

    def _atom(self, depth: int) -> float:
        token = self._peek()
        self._at += 1
        if token in ("(", "{", "["):
            inner = self._sum(depth + 1)
            self._at += 1
            return inner
        return float(token) if _NUMBER.fullmatch(token) else 1.0


def _saturating_power(base: float, exponent: float) -> float:
    if base <= 1 or exponent == 0:
        return 1.0
    return math.inf if exponent * math.log(base) > 700 else base**exponent
