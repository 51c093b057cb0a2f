r"""The cheap look at an answer before a computer algebra system may see it.

Refused is what no reasonable answer contains and what costs minutes or gigabytes: powers with huge exponents (towers
included), factorials of huge numbers, up-arrows, deep nesting, endless text. What merely takes long is left to the
CPU limit.
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
_TOKEN = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+|\\[a-zA-Z]+|[-+*/^!(){}\[\]]|[a-zA-Z]|.")


def refusal(text: str, max_chars: int) -> str | None:
    """Why this normalised answer is refused; None when it may be parsed. Costs microseconds."""
    if len(text) > max_chars:
        return f"longer than {max_chars} characters"
    if "\\uparrow" in text or "↑" in text or "\\Uparrow" in text:
        return "up-arrow notation"
    if _LONG_NUMBER.search(text):
        return f"a number of more than {MAX_DIGITS} digits"
    if any(int(match[1][:9]) > MAX_EXPONENT for match in _SCIENTIFIC.finditer(text)):
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
            depth -= 1
    return deepest


def _growth(text: str) -> str | None:
    for match in re.finditer(r"\^", text):
        if _BIG_OPERATOR_LIMIT.search(text[: match.start()]):
            continue
        exponent = _operand_after(text, match.end())
        if exponent is None:
            return f"a tower of more than {MAX_TOWER} powers"
        if magnitude(exponent) > MAX_EXPONENT:
            return f"an exponent above {MAX_EXPONENT}"
    for match in re.finditer("!", text):
        if magnitude(_operand_before(text, match.start())) > MAX_FACTORIAL:
            return f"the factorial of a number above {MAX_FACTORIAL}"
    return None


def _operand_after(text: str, start: int) -> str | None:
    """The exponent at ``start``, with the exponents and factorials that follow it; None for too high a tower."""
    end = _group_end(text, start)
    for _ in range(MAX_TOWER):
        if end >= len(text) or text[end] not in "^!":
            return text[start:end]
        end = end + 1 if text[end] == "!" else _group_end(text, end + 1)
    return None


def _group_end(text: str, start: int) -> int:
    if start >= len(text):
        return start
    if text[start] not in "({[":
        match = re.compile(r"-?(?:[0-9]+|\\[a-zA-Z]+|.)").match(text, start)
        return match.end() if match else start + 1
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "({[") - (text[i] in ")}]")
        if depth == 0:
            return i + 1
    return len(text)


def _operand_before(text: str, end: int) -> str:
    if end and text[end - 1] in ")}]":
        depth = 0
        for i in range(end - 1, -1, -1):
            depth += (text[i] in ")}]") - (text[i] in "({[")
            if depth == 0:
                return text[i:end]
    match = re.search(r"[0-9]+!*$", text[:end])
    return match.group() if match else ""


def magnitude(text: str) -> float:
    """An upper bound of the absolute value of an arithmetic expression; letters count as 1, overflow as infinity."""
    return _Magnitude(text).value()


class _Magnitude:
    """Recursive descent over sums, products, powers and factorials, in floats that saturate."""

    def __init__(self, text: str) -> None:
        self._tokens = [token for token in _TOKEN.findall(text) if not token.isspace()]
        self._at = 0

    def value(self) -> float:
        total = 0.0
        while self._at < len(self._tokens) and self._peek() not in ")}]":
            total += self._product()
        return total

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _product(self) -> float:
        result = 1.0
        while (token := self._peek()) and token not in ")}]":
            if token in "+-":
                self._at += 1
                return result
            if token == "/":
                self._at += 1
                self._power()  # at least 1 for the integers that a bound is wanted for
                continue
            if token in ("*", "\\cdot", "\\frac"):
                self._at += 1
                continue
            result *= max(self._power(), 1e-9)
        return result

    def _power(self) -> float:
        base = self._atom()
        while (token := self._peek()) in ("^", "!"):
            self._at += 1
            if token == "!":
                base = math.inf if base > 170 else math.gamma(base + 1)
            else:
                base = _saturating_power(base, self._power())
        return base

    def _atom(self) -> float:
        token = self._peek()
        self._at += 1
        if token in ("(", "{", "["):
            inner = self.value()
            self._at += 1
            return inner
        if token.lstrip(".")[:1].isdecimal():  # not a lone point
            return float(token)
        return 1.0


def _saturating_power(base: float, exponent: float) -> float:
    if base <= 1 or exponent == 0:
        return 1.0
    return math.inf if exponent * math.log(base) > 700 else base**exponent
