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

from igrpo.rewards.math.functions import (
    ACCENTS,
    CONSTANTS,
    FIGURES,
    FUNCTIONS,
    FUNCTIONS_OF_SEVERAL,
    GREEK,
    OPERATORS,
    ROUNDING,
    OperatorError,
    UnparsableError,
    derivative,
    real_power,
)
from igrpo.rewards.math.numbers import parse_number
from igrpo.rewards.math.tokens import Tokens

_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
_ENDS = frozenset((")", "]", "}", "\\}", "\\rfloor", "\\rceil", "|", ",", "\\%"))
_MIXED = re.compile(r"\\frac ?\{([0-9]+)\}\{([0-9]+)\}")
_INFINITY = re.compile(r"[-+]?\\infty ?")
_MAX_DEPTH = 60


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


class _Parser:
    """Recursive-descent parser for sums, products, powers and atoms."""

    def __init__(self, tokens: Tokens, functions: frozenset[str]) -> None:
        self.pending: set[str] = set()
        self._tokens, self._functions = tokens, functions
        self._depth = self._bars = self._within_functions = 0
        self._in_braces = False

    def whole(self) -> Any:
        value = self._sum()
        if self._tokens.peek() or (value.has(sympy.oo) and not _INFINITY.fullmatch(self._tokens.text)):
            self._tokens.fail()
        return value

    def _sum(self) -> Any:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._tokens.fail()
        terms = [self._term()]
        while self._tokens.peek() in ("+", "-"):
            terms.append(self._term())
        self._depth -= 1
        return sympy.Add(*terms)

    def _term(self) -> Any:
        return -self._product() if self._tokens.sign() else self._product()

    def _product(self) -> Any:
        value = self._power()
        while True:
            token = self._tokens.peek()
            if self._tokens.take("*") or self._tokens.take("\\cdot"):
                value = value * self._signed_power()
            elif self._tokens.take("/"):
                value = self._quotient(value, self._signed_power())
            elif self._tokens.take("\\bmod"):
                self.pending.add("mod")
                value = sympy.Mod(value, self._signed_power())
            elif self._starts_factor(token):
                if (token[0].isdigit() or token[0] == ".") and self._tokens.peek(-1) != "!":
                    self._tokens.fail()  # `x2` and `1 2` are products to some and misprints to others
                value = value * self._power()
            else:
                return value

    def _signed_power(self) -> Any:
        return -self._power() if self._tokens.sign() else self._power()

    def _quotient(self, top: Any, bottom: Any) -> Any:
        if bottom.is_zero:
            self._tokens.fail()
        return top / bottom

    def _starts_factor(self, token: str) -> bool:
        if token == "|":
            return not self._bars
        return bool(token) and token not in _ENDS and (token[0].isalnum() or token[0] in "(.{[\\")

    def _power(self) -> Any:
        value = self._postfix(self._atom())
        if self._tokens.take("^"):
            exponent = self._exponent()
            if value.is_zero and not exponent.is_positive:
                self._tokens.fail()  # `0^0`
            value = real_power(value, exponent)
            if self._tokens.peek() == "^":
                self._tokens.fail()
            value = self._postfix(value)
        return value

    def _postfix(self, value: Any) -> Any:
        while True:
            if self._tokens.take("!", "!"):
                value = sympy.factorial2(value)
            elif self._tokens.take("!"):
                value = sympy.factorial(value)
            elif self._tokens.take("^", "\\circ"):
                value = value * sympy.pi / 180 if self._within_functions else value
            else:
                return value

    def _exponent(self) -> Any:
        if self._tokens.take("-"):
            return -self._atom(single_digit=True)
        return self._part()

    def _part(self) -> Any:
        """Read a group in braces, or a single token."""
        return self._braced() if self._tokens.peek() == "{" else self._atom(single_digit=True)

    def _braced(self) -> Any:
        self._tokens.expect("{")
        return self._bracketed("{")

    def _atom(self, *, single_digit: bool = False) -> Any:
        token = self._tokens.next()
        if token[0].isdigit() or token[0] == ".":
            return self._number(token, single_digit=single_digit)
        if token in self._functions and self._is_applied():
            return self._applied(token)
        if token.isalpha() or token in GREEK or token in CONSTANTS:
            return self._variable(token)
        if token in _CLOSING:
            return self._bracketed(token)
        return self._absolute() if token == "|" else self._command(token)

    def _number(self, token: str, *, single_digit: bool) -> Any:
        number = parse_number(token)
        if number is None or ("," in token and not self._in_braces):
            self._tokens.fail()  # `(6,235)` is a pair
        if single_digit and len(token) > 1 and token.isdigit():
            self._tokens.fail()  # `x^10` was given braces by the normal form, or is a misprint
        value = sympy.Rational(number.value.numerator, number.value.denominator)
        part = _MIXED.match(self._tokens.text, self._tokens.start) if token.isdigit() else None
        if part is None:
            return value
        top, bottom = int(part[1]), int(part[2])
        if not 0 < top < bottom:
            self._tokens.fail()  # `2\frac{5}{3}` is a product to some and a mistake to others
        self._tokens.skip_to(part.end())
        return value + sympy.Rational(top, bottom)

    def _variable(self, letter: str) -> Any:
        name = letter
        while self._tokens.peek() in ("_", "'"):
            name += "'" if self._tokens.take("'") else f"{self._tokens.next()}{{{self._tokens.group()}}}"
        return CONSTANTS[name] if name in CONSTANTS else sympy.Symbol(name)

    def _bracketed(self, opening: str) -> Any:
        if opening == "\\{":
            self._tokens.fail()
        outside = self._bars, self._in_braces
        self._bars, self._in_braces = 0, opening == "{"
        value = self._sum()
        self._tokens.expect(_CLOSING[opening])
        self._bars, self._in_braces = outside
        if opening in ROUNDING:
            self.pending.add("rounding")
            return ROUNDING[opening](value)
        return value

    def _absolute(self) -> Any:
        self._bars += 1
        value = self._sum()
        self._tokens.expect("|")
        self._bars -= 1
        return sympy.Abs(value)

    def _is_applied(self) -> bool:
        """True if the letter just read has an argument, possibly after the exponent -1 or primes."""
        ahead = 5 if [self._tokens.peek(i) for i in range(5)] == ["^", "{", "-", "1", "}"] else 0
        while self._tokens.peek(ahead) == "'":
            ahead += 1
        return self._tokens.peek(ahead) == "("

    def _applied(self, letter: str) -> Any:
        name = letter
        while self._tokens.peek() != "(":
            name += self._tokens.next()
        return sympy.Symbol(f"{name}({','.join(map(str, self._arguments()))})")

    def _arguments(self) -> list[Any]:
        opening = self._tokens.next()
        if opening not in ("(", "[", "{", "\\{"):
            self._tokens.fail()
        arguments = [self._sum()]
        while self._tokens.take(","):
            arguments.append(self._sum())
        self._tokens.expect(_CLOSING[opening])
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
            return sympy.Symbol(f"{token}{{{self._tokens.group()}}}")
        if token in FIGURES:
            return sympy.Symbol(token + self._points())
        raise (OperatorError if token in OPERATORS else UnparsableError)(self._tokens.text)

    def _points(self) -> str:
        """Read the letters that name a figure."""
        if self._tokens.peek() == "{":
            return self._tokens.group()
        found = ""
        while self._tokens.peek().isalpha() and len(found) < 3:
            found += self._tokens.next()
        return found or self._tokens.fail()

    def _fraction(self) -> Any:
        start = self._tokens.mark()
        if self._tokens.peek() == "{":
            found = derivative(self._tokens.group(), self._tokens.group())
            if found is not None:
                return found
        self._tokens.back(start)
        return self._quotient(self._part(), self._part())

    def _binomial(self) -> Any:
        top = self._part()
        return sympy.binomial(top, self._part())

    def _root(self) -> Any:
        degree: Any = sympy.Integer(2)
        if self._tokens.take("["):
            degree = self._sum()
            self._tokens.expect("]")
        value = self._part()
        return real_power(value, self._quotient(sympy.Integer(1), degree))

    def _function(self, token: str) -> Any:
        function, kind = FUNCTIONS[token]
        base = exponent = None
        if token == "\\log" and self._tokens.take("_"):
            base = self._part()
        if self._tokens.take("^"):
            exponent = self._exponent()
        if exponent == -1 and kind in ("trigonometric", "hyperbolic"):
            function, kind, exponent = getattr(sympy, "a" + token[1:]), f"inverse {kind}", None
        self.pending.add(kind)
        self._within_functions += 1
        argument = self._argument()
        self._within_functions -= 1
        value = function(argument) if base is None else self._quotient(sympy.log(argument), sympy.log(base))
        if exponent is None and self._tokens.take("^"):
            exponent = self._exponent()
        return value if exponent is None else value**exponent

    def _argument(self) -> Any:
        """Read the argument of a function: a group, or the product that follows (``\\sin 2x\\cos y``: ``2x``)."""
        if self._tokens.peek() in ("(", "{", "[", "|"):
            return self._postfix(self._atom())
        value = self._signed_power()
        while (token := self._tokens.peek()) not in FUNCTIONS and token not in FUNCTIONS_OF_SEVERAL:
            if token in ("(", "[") or not self._starts_factor(token) or token[0].isdigit():
                break
            value = value * self._power()
        return value
