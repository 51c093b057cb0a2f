"""Expressions compared as mathematics: parsed by math-verify, equal only when they are equal exactly.

math-verify's own comparison rounds (1/2**99 equals 1/2**98 there), so it decides nothing here: numbers are compared
as exact rationals or to more than a hundred digits relative to their size, expressions with variables at several
exact points, equations and inequalities up to a factor. No text is ever evaluated as Python.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import sympy  # type: ignore[import-untyped]
from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse
from math_verify.grader import unwrap_fcs
from sympy.core.function import AppliedUndef  # type: ignore[import-untyped]
from sympy.core.relational import Relational  # type: ignore[import-untyped]

_DIGITS = 60
# Generic points: signs and sizes vary, so that one of them lies in the domain of most answers.
_POINTS = ((7, 13), (29, 23), (-11, 17), (173, 10), (5, 97), (-37, 8), (1009, 7))
_NO_NUMBERS = (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo)

_IMAGINARY = re.compile(r"(?<=[0-9)}])i(?![a-zA-Z])")  # math-verify sees the imaginary unit only where a word begins
_MIXED = re.compile(r"(?<![0-9.])([0-9]+) ([0-9]+)/([0-9]+)(?![0-9.])")
_SPLIT_NUMBER = re.compile(r"[0-9] [0-9]")

#: Units are not stripped (`4t` would become 4): that is done before, by rules that know the difference.
_LATEX = LatexExtractionConfig(
    normalization_config=NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last", equations=False
    )
)


class UnparsableError(Exception):
    """The text is no mathematics that the parser knows."""


@lru_cache(maxsize=256)
def parsed(latex: str) -> Any:
    """The SymPy object of an answer. Raises UnparsableError."""
    latex = _MIXED.sub(r"\1\\frac{\2}{\3}", _IMAGINARY.sub(r" i", latex))
    if _SPLIT_NUMBER.search(latex):
        raise UnparsableError(latex)  # the parser would read `1 2` as 12
    found = parse(f"\\boxed{{{latex}}}", [_LATEX], fallback_mode="no_fallback", parsing_timeout=None)
    if not found:
        raise UnparsableError(latex)
    value = found[0]
    if isinstance(value, sympy.Basic | sympy.MatrixBase):
        return exact(value)
    raise UnparsableError(latex)


def exact(value: Any) -> Any:
    """The same object with every float read as the decimal that it was written as, and `i` as the imaginary unit."""
    exactly = {number: sympy.Rational(str(number)) for number in value.atoms(sympy.Float)}
    exactly |= {symbol: sympy.I for symbol in value.free_symbols if symbol.name == "i" and symbol.is_real is False}
    return value.xreplace(exactly) if exactly else value


def equal(gold: Any, answer: Any) -> bool:
    """Whether two SymPy objects are the same: numbers, expressions, matrices, sets or relations."""
    if isinstance(gold, sympy.MatrixBase | sympy.MatrixExpr) or isinstance(answer, sympy.MatrixBase | sympy.MatrixExpr):
        return _matrices_equal(gold, answer)
    if isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr):
        return expressions_equal(gold, answer)
    if isinstance(gold, sympy.Set) or isinstance(answer, sympy.Set):
        return _sets_equal(as_set(gold), as_set(answer))
    return bool(gold == answer)


def _matrices_equal(gold: Any, answer: Any) -> bool:
    gold, answer = gold.doit(), answer.doit()
    if not isinstance(gold, sympy.MatrixBase) or not isinstance(answer, sympy.MatrixBase):
        return False
    return gold.shape == answer.shape and all(map(equal, gold, answer))


def as_set(value: Any) -> sympy.Set | None:
    """The set that a relation in one variable or a finite collection describes; None for anything else."""
    if isinstance(value, sympy.Set):
        return value
    if isinstance(value, Relational | sympy.And | sympy.Or):
        plain = unwrap_fcs(value)
        if len(plain.free_symbols) != 1:
            return None
        symbol = next(iter(plain.free_symbols))
        return plain.xreplace({symbol: sympy.Symbol(symbol.name, real=True)}).as_set()
    return None


def _sets_equal(gold: sympy.Set | None, answer: sympy.Set | None) -> bool:
    if gold is None or answer is None:
        return False
    if gold == answer:
        return True
    return bool(gold.symmetric_difference(answer).is_empty)


def expressions_equal(gold: sympy.Expr, answer: sympy.Expr) -> bool:
    """Equal as functions of their real variables: wherever one is real, the other is and has the same value."""
    if gold == answer:
        return True
    gold, answer = _plain(gold), _plain(answer)
    if gold == answer:
        return True
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=lambda symbol: symbol.name)
    if not symbols:
        return _numbers_equal(gold, answer)
    compared = 0
    for number in range(len(_POINTS)):
        point = {symbol: _coordinate(number, i) for i, symbol in enumerate(symbols)}
        values = [_value(expression.xreplace(point)) for expression in (gold, answer)]
        real = [value is not None and value.is_real for value in values]
        if not any(real) and not (gold.has(sympy.I) or answer.has(sympy.I)):
            continue
        if None in values or not _numbers_equal(*values):
            return False
        compared += 1
    return compared >= 2


def _plain(expression: sympy.Expr) -> sympy.Expr:
    """Integrals, sums and limits worked out, f(x) as a variable of its own."""
    expression = expression.doit()
    functions = expression.atoms(AppliedUndef)
    return expression.xreplace({function: sympy.Symbol(str(function)) for function in functions})


def _coordinate(number: int, index: int) -> sympy.Rational:
    # Shifted by the variable's index, so that exchanging two variables shows.
    top, bottom = _POINTS[number]
    return sympy.Rational(top * (index + 2) + index, bottom * (index + 2) + number)


def _value(expression: sympy.Expr) -> sympy.Expr | None:
    value = expression.doit()
    if value.is_Rational:
        return value
    value = value.evalf(_DIGITS)
    if not value.is_number or value.has(*_NO_NUMBERS):
        return None
    real, imaginary = value.as_real_imag()
    return real if abs(imaginary) <= abs(real) * sympy.Float(10) ** (10 - _DIGITS) else value


def _numbers_equal(gold: sympy.Expr, answer: sympy.Expr) -> bool:
    if gold.is_Rational and answer.is_Rational:
        return bool(gold == answer)
    size = abs(sympy.N(gold, 15))
    if not size.is_number or any(side.has(*_NO_NUMBERS) for side in (size, sympy.N(answer, 15))):
        return bool(gold == answer)
    # Twice the size in digits: a difference of 1 beside a huge number, or of a root beside a huge square, shows.
    digits = _DIGITS + 2 * max(0, int(sympy.log(size + 1, 10).evalf(15)))
    left, right = gold.evalf(digits), answer.evalf(digits)
    difference = abs(left - right)
    if not difference.is_number:
        return bool(sympy.simplify(gold - answer) == 0)
    return bool(difference <= (abs(left) + abs(right)) * sympy.Float(10, digits) ** (20 - digits))


def decimal_value(expression: Any) -> sympy.Rational | None:
    """A real constant to 60 digits, as a rational; None for anything else."""
    if not isinstance(expression, sympy.Expr) or expression.free_symbols:
        return None
    value = expression.doit().evalf(_DIGITS)
    return sympy.Rational(str(value)) if value.is_Float else None


def equations_equal(gold: Any, answer: Any) -> bool:
    """The same equation or inequality up to a constant factor, or the same set of one real variable."""
    gold, answer = _directed(gold), _directed(answer)
    if isinstance(gold, Relational) and isinstance(answer, Relational) and type(gold) is type(answer):
        factor = _constant_ratio(gold.lhs - gold.rhs, answer.lhs - answer.rhs)
        if factor is not None and (factor > 0 or isinstance(gold, sympy.Eq | sympy.Ne)):
            return True
    if isinstance(gold, sympy.Eq) or isinstance(answer, sympy.Eq):
        return False
    names, other_names = ({symbol.name for symbol in unwrap_fcs(side).free_symbols} for side in (gold, answer))
    return names == other_names and _sets_equal(as_set(gold), as_set(answer))


def _directed(relation: Any) -> Any:
    for greater, less in ((sympy.StrictGreaterThan, sympy.StrictLessThan), (sympy.GreaterThan, sympy.LessThan)):
        if isinstance(relation, greater):
            return less(relation.rhs, relation.lhs, evaluate=False)
    return relation


def _constant_ratio(one: sympy.Expr, other: sympy.Expr) -> sympy.Expr | None:
    one, other = (sympy.fraction(sympy.together(_plain(side)))[0] for side in (one, other))
    if one.free_symbols != other.free_symbols or not one.free_symbols:
        return None
    symbols = sorted(one.free_symbols, key=lambda symbol: symbol.name)
    ratios = []
    for number in range(4):
        point = {symbol: _coordinate(number, i) for i, symbol in enumerate(symbols)}
        left, right = (_value(side.xreplace(point)) for side in (one, other))
        if left is None or right is None or not right.is_real or not left.is_real or right == 0:
            return None
        ratios.append(left / right)
    return ratios[0] if ratios[0] != 0 and all(_numbers_equal(ratios[0], ratio) for ratio in ratios) else None


def alternatives(pieces: list[list[Any]]) -> sympy.Set | None:
    """The set of "a and b, or c and d"; None when a piece describes no set."""
    sets = [[as_set(piece) for piece in joint] for joint in pieces]
    if any(None in joint for joint in sets):
        return None
    return sympy.Union(*(sympy.Intersection(*joint) for joint in sets))
