r"""Parser of arithmetic: sums, products, powers, postfix operators and brackets."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any

import sympy  # type: ignore[import-untyped]

from igrpo.rewards.math.functions import ROUNDING, real_power
from igrpo.rewards.math.tokens import Tokens

#: Closing bracket of each opening bracket.
CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
_ENDS = frozenset((")", "]", "}", "\\}", "\\rfloor", "\\rceil", "|", ",", "\\%"))
_INFINITY = re.compile(r"[-+]?\\infty ?")
_MAX_DEPTH = 60


class ArithmeticParser(ABC):
    """Recursive-descent parser of arithmetic. A subclass reads atoms: numbers, variables and commands.

    Methods read from ``tokens`` and return SymPy expressions. They raise UnparsableError for text that cannot be read.
    ``pending`` collects the kinds of operations that were left unevaluated.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.pending: set[str] = set()
        self.tokens = tokens
        self.within_functions = 0
        self.in_braces = False
        self._depth = self._bars = 0

    @abstractmethod
    def atom(self, *, single_digit: bool = False) -> Any:
        """Read a number, a variable, a command or a bracket; with ``single_digit``, no longer number."""

    def whole(self) -> Any:
        """Read the whole text."""
        value = self.sum()
        if self.tokens.peek() or (value.has(sympy.oo) and not _INFINITY.fullmatch(self.tokens.text)):
            self.tokens.fail()
        return value

    def sum(self) -> Any:
        """Read terms joined by plus and minus signs."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self.tokens.fail()
        terms = [self._term()]
        while self.tokens.peek() in ("+", "-"):
            terms.append(self._term())
        self._depth -= 1
        return sympy.Add(*terms)

    def _term(self) -> Any:
        return -self._product() if self.tokens.sign() else self._product()

    def _product(self) -> Any:
        value = self.power()
        while True:
            token = self.tokens.peek()
            if self.tokens.take("*") or self.tokens.take("\\cdot"):
                value = value * self.signed_power()
            elif self.tokens.take("/"):
                value = self.quotient(value, self.signed_power())
            elif self.tokens.take("\\bmod"):
                self.pending.add("mod")
                value = sympy.Mod(value, self.signed_power())
            elif self.starts_factor(token):
                if (token[0].isdigit() or token[0] == ".") and self.tokens.peek(-1) != "!":
                    self.tokens.fail()  # `x2` and `1 2` are products to some and misprints to others
                value = value * self.power()
            else:
                return value

    def signed_power(self) -> Any:
        """Read a power, possibly with signs before it."""
        return -self.power() if self.tokens.sign() else self.power()

    def quotient(self, top: Any, bottom: Any) -> Any:
        """Divide; fail for a divisor of 0."""
        if bottom.is_zero:
            self.tokens.fail()
        return top / bottom

    def starts_factor(self, token: str) -> bool:
        """True if a token begins a factor of a product."""
        if token == "|":
            return not self._bars
        return bool(token) and token not in _ENDS and (token[0].isalnum() or token[0] in "(.{[\\")

    def power(self) -> Any:
        """Read an atom with its postfix operators and exponent."""
        value = self.postfix(self.atom())
        if self.tokens.take("^"):
            exponent = self.exponent()
            if value.is_zero and not exponent.is_positive:
                self.tokens.fail()  # `0^0`
            value = real_power(value, exponent)
            if self.tokens.peek() == "^":
                self.tokens.fail()
            value = self.postfix(value)
        return value

    def postfix(self, value: Any) -> Any:
        """Read factorials and degree signs after a value."""
        while True:
            if self.tokens.take("!", "!"):
                value = sympy.factorial2(value)
            elif self.tokens.take("!"):
                value = sympy.factorial(value)
            elif self.tokens.take("^", "\\circ"):
                value = value * sympy.pi / 180 if self.within_functions else value
            else:
                return value

    def exponent(self) -> Any:
        """Read the exponent after a `^`."""
        if self.tokens.take("-"):
            return -self.atom(single_digit=True)
        return self.part()

    def part(self) -> Any:
        """Read a group in braces, or a single token."""
        return self._braced() if self.tokens.peek() == "{" else self.atom(single_digit=True)

    def _braced(self) -> Any:
        self.tokens.expect("{")
        return self.bracketed("{")

    def bracketed(self, opening: str) -> Any:
        """Read up to the closing bracket."""
        if opening == "\\{":
            self.tokens.fail()
        outside = self._bars, self.in_braces
        self._bars, self.in_braces = 0, opening == "{"
        value = self.sum()
        self.tokens.expect(CLOSING[opening])
        self._bars, self.in_braces = outside
        if opening in ROUNDING:
            self.pending.add("rounding")
            return ROUNDING[opening](value)
        return value

    def absolute(self) -> Any:
        """Read up to the closing bar."""
        self._bars += 1
        value = self.sum()
        self.tokens.expect("|")
        self._bars -= 1
        return sympy.Abs(value)
