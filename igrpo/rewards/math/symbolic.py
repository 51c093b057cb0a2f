"""Mathematical comparison of expressions, which are equal only if they are exactly equal.

Numbers are compared as exact rationals or to more than a hundred digits relative to their size. Expressions with
variables are compared at several exact points, some of which are derived from the answers. Equations and inequalities
are compared up to a factor. The comparison of math-verify is not used, since it rounds (it takes 1/2**99 to equal
1/2**98); only its parser is used, for sums, integrals, limits and matrices. Text is never evaluated as Python.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any

import sympy  # type: ignore[import-untyped]
from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse
from sympy.core.function import AppliedUndef  # type: ignore[import-untyped]

from igrpo.rewards.math.functions import OperatorError, UnparsableError
from igrpo.rewards.math.latex import Expression, parse_expression

_DIGITS = 60
# Generic points with different signs and sizes, so that most answers have one in their domain.
_POINTS = ((7, 13), (29, 23), (-11, 17), (173, 10), (5, 97), (-37, 8), (1009, 7))
#: Exceptions that SymPy raises if it cannot do a computation, such as the double factorial of a fraction.
REFUSALS = (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError)
_APART = (sympy.Rational(1, 9), sympy.Integer(9))
_NO_NUMBERS = (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo)

_IMAGINARY = re.compile(r"(?<=[0-9)}])i(?![a-zA-Z])")  # math-verify reads it only at the start of a word
_SPLIT_NUMBER = re.compile(r"[0-9] [0-9]")
_SYMBOL = re.compile(r"\\[a-zA-Z]+|[a-zA-Z]")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[^{}]*\}")
_OPERATOR = re.compile(
    r"\\(sum|prod|i{1,3}nt|oint|lim|det|begin\{[vV]matrix\})(?![a-zA-Z])|\\frac ?\{(?:d|\\partial)\}"
)
_MATRIX_PRODUCT = re.compile(r"\\end\{[a-zA-Z]+\}\)? ?(?:\\cdot ?|\*)?\(?(?:\\begin|\^)")

#: Units are not stripped here (`4t` would become 4); more precise rules strip them before.
_LATEX = LatexExtractionConfig(
    normalization_config=NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last", equations=False
    )
)


@lru_cache(maxsize=256)
def parsed(latex: str, functions: frozenset[str] = frozenset()) -> Expression:
    """Parse an answer to a SymPy object. Raises UnparsableError."""
    try:
        return parse_expression(latex, functions)
    except OperatorError:
        return _by_library(latex)


def _by_library(latex: str) -> Expression:
    """Parse sums, integrals, limits, determinants and matrices with math-verify's parser.

    That parser drops unknown text and ignores case. Therefore every letter must have become a symbol, and no two
    letters may differ only in case.
    """
    letters = {letter for letter in _SYMBOL.findall(_ENVIRONMENT.sub("", latex)) if len(letter) == 1}
    if _SPLIT_NUMBER.search(latex) or len({letter.lower() for letter in letters}) < len(letters) or "\\text" in latex:
        raise UnparsableError(latex)
    text = _IMAGINARY.sub(r" i", latex)
    try:
        found = parse(f"\\boxed{{{text}}}", [_LATEX], fallback_mode="no_fallback", parsing_timeout=None)
    except Exception as error:  # the library and SymPy raise various errors on text that they cannot read
        raise UnparsableError(latex) from error
    if not found or not isinstance(found[0], sympy.Basic | sympy.MatrixBase):
        raise UnparsableError(latex)
    value = _exact(found[0])
    names = "".join(symbol.name for symbol in value.atoms(sympy.Symbol))
    if not {letter.lower() for letter in letters} - set("dei") <= set(names.lower()):
        raise UnparsableError(latex)
    spelled = {letter.lower(): letter for letter in letters}
    renamed = {s: sympy.Symbol(spelled.get(s.name, s.name)) for s in value.free_symbols}
    return Expression(value.xreplace(renamed), operators(latex))


def operators(latex: str) -> frozenset[str]:
    """Return the kinds of operations in an answer for the library: sums, integrals, products of matrices ..."""
    found = {match[1] or "derivative" for match in _OPERATOR.finditer(latex)}
    return frozenset(found | ({"matrix product"} if _MATRIX_PRODUCT.search(latex) else set()))


def _exact(value: Any) -> Any:
    """Replace every float by the exact decimal as written, and `i` by the imaginary unit."""
    exactly = {number: sympy.Rational(str(number)) for number in value.atoms(sympy.Float)}
    exactly |= {symbol: sympy.I for symbol in value.free_symbols if symbol.name == "i" and symbol.is_real is False}
    return value.xreplace(exactly) if exactly else value


def equal(gold: Any, answer: Any) -> bool:
    """True if two SymPy objects are equal: numbers, expressions, matrices, sets or relations.

    Objects that SymPy cannot compare count as different.
    """
    try:
        return _equal(gold, answer)
    except REFUSALS:
        return False


def _equal(gold: Any, answer: Any) -> bool:
    if isinstance(gold, sympy.MatrixBase | sympy.MatrixExpr) or isinstance(answer, sympy.MatrixBase | sympy.MatrixExpr):
        return _matrices_equal(gold, answer)
    if isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr):
        return expressions_equal(gold, answer)
    return bool(gold == answer)


def _matrices_equal(gold: Any, answer: Any) -> bool:
    gold, answer = gold.doit(), answer.doit()
    if not isinstance(gold, sympy.MatrixBase) or not isinstance(answer, sympy.MatrixBase):
        return False
    return gold.shape == answer.shape and all(map(equal, gold, answer))


def expressions_equal(gold: sympy.Expr, answer: sympy.Expr) -> bool:
    """True if two expressions are equal as functions: where one is real, the other is real and has the same value."""
    if gold == answer:
        return True
    gold, answer = _plain(gold), _plain(answer)
    if gold == answer:
        return True
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=lambda symbol: symbol.name)
    if not symbols:
        return _numbers_equal(gold, answer)
    compared = 0
    points = [[_coordinate(place, i) for i in range(len(symbols))] for place in _places(gold, answer)]
    # Some expressions are defined only at points where the variables differ much in size.
    apart = [[value * scale**i for i, value in enumerate(point)] for scale in _APART for point in points[:2]]
    for tried, coordinates in enumerate([*points, *apart]):
        if tried >= len(points) and compared >= 2:
            break
        point = dict(zip(symbols, coordinates, strict=True))
        values = [_value(expression, point) for expression in (gold, answer)]
        real = [value is not None and value.is_real for value in values]
        if not any(real) and not (gold.has(sympy.I) or answer.has(sympy.I)):
            continue
        if None in values or not _numbers_equal(*values):
            return False
        compared += 1
    return compared >= 2


def _plain(expression: sympy.Expr) -> sympy.Expr:
    """Evaluate integrals, sums and limits, and replace f(x) by a separate variable."""
    expression = expression.doit()
    functions = expression.atoms(AppliedUndef)
    return expression.xreplace({function: sympy.Symbol(str(function)) for function in functions})


def _places(gold: sympy.Expr, answer: sympy.Expr) -> list[tuple[int, int]]:
    """Return the fixed points and two derived from the answers, so that no answer can be built for all points."""
    digest = hashlib.sha256(f"{gold} {answer}".encode()).digest()
    drawn = [int.from_bytes(digest[i : i + 2], "big") % 997 for i in range(0, 8, 2)]
    return [*_POINTS, (drawn[0] + 2, drawn[1] + 3), (-drawn[2] - 2, drawn[3] + 3)]


def _coordinate(place: tuple[int, int], index: int) -> sympy.Rational:
    # Shifted by the variable's index, so that exchanging two variables is detected.
    top, bottom = place
    return sympy.Rational(top * (index + 2) + index, bottom * (index + 2) + top % 7)


def _value(expression: sympy.Expr, point: dict[Any, Any]) -> sympy.Expr | None:
    """Return the value at a point; None if it is undefined or not a single number."""
    try:
        return _evaluated(expression.xreplace(point))
    except REFUSALS:
        return None


def _evaluated(expression: sympy.Expr) -> sympy.Expr | None:
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
    # Twice the digits of the size, to detect a difference of 1 from a huge number, or of a root from a huge square.
    digits = _DIGITS + 2 * max(0, int(sympy.log(size + 1, 10).evalf(15)))
    if gold.is_Float or answer.is_Float:
        digits = _DIGITS  # values at a point have no more digits
    left, right = gold.evalf(digits), answer.evalf(digits)
    difference = abs(left - right)
    if not difference.is_number:
        return bool(sympy.simplify(gold - answer) == 0)
    return bool(difference <= (abs(left) + abs(right)) * sympy.Float(10, digits) ** (20 - digits))


def decimal_value(expression: Any) -> sympy.Rational | None:
    """Return a real constant, evaluated to 60 digits, as a rational; None for anything else."""
    if not isinstance(expression, sympy.Expr) or expression.free_symbols:
        return None
    value = expression.doit().evalf(_DIGITS)
    return sympy.Rational(str(value)) if value.is_Float else None


def constant_ratio(one: sympy.Expr, other: sympy.Expr) -> sympy.Expr | None:
    """Return the constant c with one = c * other; None if there is none."""
    try:
        return _constant_ratio(one, other)
    except REFUSALS:
        return None


def _constant_ratio(one: sympy.Expr, other: sympy.Expr) -> sympy.Expr | None:
    one, other = (sympy.fraction(sympy.together(_plain(side)))[0] for side in (one, other))
    if one.free_symbols != other.free_symbols or not one.free_symbols:
        return None
    symbols = sorted(one.free_symbols, key=lambda symbol: symbol.name)
    ratios = []
    for place in _places(one, other):
        point = {symbol: _coordinate(place, i) for i, symbol in enumerate(symbols)}
        left, right = (_value(side, point) for side in (one, other))
        if left is None and right is None:
            continue
        if left is None or right is None or not right.is_real or not left.is_real or right == 0:
            return None
        ratios.append(left / right)
    return (
        ratios[0]
        if len(ratios) > 1 and ratios[0] != 0 and all(_numbers_equal(ratios[0], ratio) for ratio in ratios)
        else None
    )
