r"""Named functions, constants and letters of the expression parser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sympy  # type: ignore[import-untyped]


class UnparsableError(Exception):
    """The parser cannot read the text."""


class OperatorError(UnparsableError):
    """The text contains an operator for the parser of a computer algebra library, such as an integral."""


def _commands(names: str) -> frozenset[str]:
    return frozenset("\\" + name for name in names.split())


def _integer(value: Any) -> int:
    if not value.is_Integer:
        raise UnparsableError(str(value))
    return int(value)


_TRIGONOMETRIC = {name: getattr(sympy, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc")}
_HYPERBOLIC = {name: getattr(sympy, name) for name in ("sinh", "cosh", "tanh", "coth")}

#: Functions of one argument, with the kind of operation that they leave unevaluated.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    **{f"\\{name}": (function, "trigonometric") for name, function in _TRIGONOMETRIC.items()},
    **{f"\\{name}": (function, "hyperbolic") for name, function in _HYPERBOLIC.items()},
    **{f"\\arc{name}": (getattr(sympy, f"a{name}"), "inverse trigonometric") for name in _TRIGONOMETRIC},
    "\\ln": (sympy.log, "logarithm"),
    "\\lg": (lambda value: sympy.log(value, 10), "logarithm"),
    "\\log": (lambda value: sympy.log(value, 10), "logarithm"),
    "\\exp": (sympy.exp, ""),
}
#: Functions of several arguments.
FUNCTIONS_OF_SEVERAL: dict[str, tuple[Callable[..., Any], str]] = {
    "\\gcd": (lambda *values: sympy.Integer(sympy.igcd(*map(_integer, values))), "gcd"),
    "\\lcm": (lambda *values: sympy.Integer(sympy.ilcm(*map(_integer, values))), "gcd"),
    "\\max": (sympy.Max, "extremum"),
    "\\min": (sympy.Min, "extremum"),
}
ROUNDING = {"\\lfloor": sympy.floor, "\\lceil": sympy.ceiling}
CONSTANTS = {"e": sympy.E, "i": sympy.I, "\\pi": sympy.pi, "\\infty": sympy.oo}
#: Operators that a library parses, if `symbolic.parsed` allows it.
OPERATORS = _commands("sum prod int iint iiint oint lim det begin")
GREEK = _commands(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho varrho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar"
)
ACCENTS = _commands("overline bar vec hat widehat tilde dot ddot overrightarrow mathcal mathbb mathfrak underline")
FIGURES = _commands("angle triangle measuredangle")

_DERIVATIVE = re.compile(
    r"(?P<d>d|\\partial) ?(?:\^(?:\{[0-9]+\}|[0-9]))? ?\\?[a-zA-Z]+(?:_(?:\{[^{}]*\}|[a-zA-Z0-9]))?"
)
_DERIVATIVE_OF = re.compile(r"(?:d|\\partial)(?:\^(?:\{[0-9]+\}|[0-9]))?")
_BY = re.compile(r"(?:(?:d|\\partial) ?\\?[a-zA-Z]+ ?(?:\^(?:\{[0-9]+\}|[0-9]))? ?)+")


def real_power(base: Any, exponent: Any) -> Any:
    """Return a power. An odd root of a negative number is the real root, as is usual in answers."""
    if not (exponent.is_Rational and exponent.q > 1 and exponent.q % 2) or base.is_nonnegative or base.has(sympy.I):
        return base**exponent
    if base.is_number and not base.is_negative:
        return base**exponent
    return sympy.sign(base) ** exponent.p * sympy.Abs(base) ** exponent


def derivative(top: str, bottom: str) -> Any:
    """Return ``dy/dx`` as a separate variable; None if the fraction is not a derivative.

    Raises:
        OperatorError: the fraction is ``d/dx``, an operator on the following expression.
    """
    if _BY.fullmatch(bottom) is None:
        return None
    if _DERIVATIVE_OF.fullmatch(top):
        raise OperatorError(f"{top}/{bottom}")
    match = _DERIVATIVE.fullmatch(top)
    if match is None or (match["d"] == "d") == ("\\partial" in bottom):
        return None
    return sympy.Symbol(f"{top}/{bottom}")
