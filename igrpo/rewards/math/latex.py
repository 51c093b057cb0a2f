r"""Strict parser of LaTeX expressions: an expression with any character that cannot be read is unparsable.

A parser that drops unknown text reads ``A^T B`` as ``AB`` and ``6007_2`` as ``6007``, so that a model could write
anything after a right answer. This parser reads numbers, variables (single letters, case-sensitive, with subscripts and
accents), arithmetic, roots, powers, factorials, binomials and named functions. It raises UnparsableError for anything
else. Text is never evaluated as Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import sympy  # type: ignore[import-untyped]

from igrpo.rewards.math.arithmetic import CLOSING, ArithmeticParser
from igrpo.rewards.math.functions import (
    ACCENTS,
    CONSTANTS,
    FIGURES,
    FUNCTIONS,
    FUNCTIONS_OF_SEVERAL,
    GREEK,
    OPERATORS,
    OperatorError,
    UnparsableError,
    derivative,
    real_power,
)
from igrpo.rewards.math.numbers import parse_number
from igrpo.rewards.math.tokens import Tokens

_MIXED = re.compile(r"\\frac ?\{([0-9]+)\}\{([0-9]+)\}")


@dataclass(frozen=True, slots=True)
class Expression:
    """Parsed expression and the kinds of operations it leaves unevaluated (``\\gcd(12,18)``: ``{"gcd"}``)."""

    value: Any
    pending: frozenset[str]


def parse_expression(text: str, functions: frozenset[str] = frozenset()) -> Expression:
    """Parse a normalised answer that is one expression.

    Args:
        text: the normalised answer.
        functions: letters that name functions, so that ``f(x)`` is not read as a product.

    Raises:
        OperatorError: the text contains an operator of ``functions.OPERATORS``.
        UnparsableError: some part of the text cannot be read.
    """
    parser = _Parser(Tokens(text), functions)
    try:
        value = parser.whole()
    except (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:  # errors of SymPy
        raise UnparsableError(text) from error
    return Expression(value, frozenset(parser.pending - {""}))


class _Parser(ArithmeticParser):
    """Parser of arithmetic, whose atoms are numbers, variables and commands."""

    def __init__(self, tokens: Tokens, functions: frozenset[str]) -> None:
        super().__init__(tokens)
        self._functions = functions

    def atom(self, *, single_digit: bool = False) -> Any:
        """See ``ArithmeticParser.atom``."""
        token = self.tokens.next()
        if token[0].isdigit() or token[0] == ".":
            return self._number(token, single_digit=single_digit)
        if token in self._functions and self._is_applied():
            return self._applied(token)
        if token.isalpha() or token in GREEK or token in CONSTANTS:
            return self._variable(token)
        if token in CLOSING:
            return self.bracketed(token)
        return self.absolute() if token == "|" else self._command(token)

    def _number(self, token: str, *, single_digit: bool) -> Any:
        number = parse_number(token)
        if number is None or ("," in token and not self.in_braces):
            self.tokens.fail()  # `(6,235)` is a pair
        if single_digit and len(token) > 1 and token.isdigit():
            self.tokens.fail()  # `x^10` was given braces by the normal form, or is a misprint
        value = sympy.Rational(number.value.numerator, number.value.denominator)
        part = _MIXED.match(self.tokens.text, self.tokens.start) if token.isdigit() else None
        if part is None:
            return value
        top, bottom = int(part[1]), int(part[2])
        if not 0 < top < bottom:
            self.tokens.fail()  # `2\frac{5}{3}` is a product to some and a mistake to others
        self.tokens.skip_to(part.end())
        return value + sympy.Rational(top, bottom)

    def _variable(self, letter: str) -> Any:
        name = letter
        while self.tokens.peek() in ("_", "'"):
            name += "'" if self.tokens.take("'") else f"{self.tokens.next()}{{{self.tokens.group()}}}"
        return CONSTANTS[name] if name in CONSTANTS else sympy.Symbol(name)

    def _is_applied(self) -> bool:
        """True if the letter just read has an argument, possibly after the exponent -1 or primes."""
        ahead = 5 if [self.tokens.peek(i) for i in range(5)] == ["^", "{", "-", "1", "}"] else 0
        while self.tokens.peek(ahead) == "'":
            ahead += 1
        return self.tokens.peek(ahead) == "("

    def _applied(self, letter: str) -> Any:
        name = letter
        while self.tokens.peek() != "(":
            name += self.tokens.next()
        return sympy.Symbol(f"{name}({','.join(map(str, self._arguments()))})")

    def _arguments(self) -> list[Any]:
        opening = self.tokens.next()
        if opening not in ("(", "[", "{", "\\{"):
            self.tokens.fail()
        arguments = [self.sum()]
        while self.tokens.take(","):
            arguments.append(self.sum())
        self.tokens.expect(CLOSING[opening])
        return arguments

    def _command(self, token: str) -> Any:
        shapes = {"\\frac": self._fraction, "\\sqrt": self._root, "\\binom": self._binomial}
        if token in shapes:
            return shapes[token]()
        if token in FUNCTIONS:
            return self._function(token)
        if token in FUNCTIONS_OF_SEVERAL:
            function, kind = FUNCTIONS_OF_SEVERAL[token]
            self.pending.add(kind)
            return function(*self._arguments())
        if token in ACCENTS:
            return sympy.Symbol(f"{token}{{{self.tokens.group()}}}")
        if token in FIGURES:
            return sympy.Symbol(token + self._points())
        raise (OperatorError if token in OPERATORS else UnparsableError)(self.tokens.text)

    def _points(self) -> str:
        """Read the letters that name a figure."""
        if self.tokens.peek() == "{":
            return self.tokens.group()
        found = ""
        while self.tokens.peek().isalpha() and len(found) < 3:
            found += self.tokens.next()
        return found or self.tokens.fail()

    def _fraction(self) -> Any:
        start = self.tokens.mark()
        if self.tokens.peek() == "{":
            found = derivative(self.tokens.group(), self.tokens.group())
            if found is not None:
                return found
        self.tokens.back(start)
        return self.quotient(self.part(), self.part())

    def _binomial(self) -> Any:
        top = self.part()
        return sympy.binomial(top, self.part())

    def _root(self) -> Any:
        degree: Any = sympy.Integer(2)
        if self.tokens.take("["):
            degree = self.sum()
            self.tokens.expect("]")
        value = self.part()
        return real_power(value, self.quotient(sympy.Integer(1), degree))

    def _function(self, token: str) -> Any:
        function, kind = FUNCTIONS[token]
        base = exponent = None
        if token == "\\log" and self.tokens.take("_"):
            base = self.part()
        if self.tokens.take("^"):
            exponent = self.exponent()
        if exponent == -1 and kind in ("trigonometric", "hyperbolic"):
            function, kind, exponent = getattr(sympy, "a" + token[1:]), f"inverse {kind}", None
        self.pending.add(kind)
        self.within_functions += 1
        argument = self._argument()
        self.within_functions -= 1
        value = function(argument) if base is None else self.quotient(sympy.log(argument), sympy.log(base))
        if exponent is None and self.tokens.take("^"):
            exponent = self.exponent()
        return value if exponent is None else value**exponent

    def _argument(self) -> Any:
        """Read the argument of a function: a group, or the product that follows (``\\sin 2x\\cos y``: ``2x``)."""
        if self.tokens.peek() in ("(", "{", "[", "|"):
            return self.postfix(self.atom())
        value = self.signed_power()
        while (token := self.tokens.peek()) not in FUNCTIONS and token not in FUNCTIONS_OF_SEVERAL:
            if token in ("(", "[") or not self.starts_factor(token) or token[0].isdigit():
                break
            value = value * self.power()
        return value
