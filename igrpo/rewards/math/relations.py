r"""Comparison of equations, inequalities and chains of equalities.

A relation is an answer only if it is solved: ``x = 5`` is an answer, ``2x + 3 = 13`` restates the problem. If the gold
answer is itself an equation (of a circle, of a line), the answer may differ from it by a constant factor.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import sympy  # type: ignore[import-untyped]

from igrpo.rewards.math.numbers import parse_number
from igrpo.rewards.math.quantities import same_unit, strip_unit
from igrpo.rewards.math.sets import bounds_equal, set_of, sets_equal, solved
from igrpo.rewards.math.structure import (
    collection,
    function_letters,
    is_equation,
    is_name,
    name_key,
    relation_signs,
    sides,
)
from igrpo.rewards.math.symbolic import constant_ratio, decimal_value, parsed

Same = Callable[[str, str], bool]

_LETTERS = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]")
_COMBINATION = re.compile(r"[0-9]*[a-zA-Z](?:[+\-][0-9]*[a-zA-Z]){1,5}|[a-zA-Z]{2,3}")
_FUNCTION_OF_X = re.compile(r"[a-zA-Z]\(x\)")
_COORDINATES = {"x", "y", "z"}
#: Significant digits that a rounded value needs to count as a value of its own.
_DIGITS = 3


def same_chain(same: Same, gold: str, answer: str) -> bool | None:
    """Compare values in chains of equalities: ``x = 5``, ``P = 2(2+3) = 10``, ``16\\pi \\approx 50.27``.

    Returns None if neither side is such a chain, and False if the answer is a chain with a false equality.
    """
    first, second = _Chain.read(gold), _Chain.read(answer, combined=not relation_signs(gold))
    if first is None and second is None:
        return None
    if first is not None and second is not None and not _same_names(first.names, second.names):
        return None  # `PV = nRT` is `nRT = PV`; with different names, later rules decide
    if second is not None and not second.holds(same):
        return False
    values = first.values if first else [gold]
    other = second.candidates if second else [answer]
    if (first is None and relation_signs(gold)) or (second is None and relation_signs(answer)):
        return None
    return any(same(one, two) for one in values for two in other)


class _Chain:
    """Chain of equalities: names, and values that are stated to be equal."""

    def __init__(self, names: list[str], values: list[str], signs: list[str]) -> None:
        self.names, self.values, self.signs = names, values, signs

    @classmethod
    def read(cls, text: str, *, combined: bool = False) -> _Chain | None:
        """Parse a text as a chain, with ``combined`` also after a sum of names, as in ``m+n = 256+37 = 293``."""
        signs, parts = relation_signs(text), sides(text)
        if not is_equation(signs) or collection(text) is not None or not all(parts):
            return None
        if len(parts) == 2 and is_name(parts[1]) and not _LETTERS.search(parts[0]):
            parts = parts[::-1]  # `2 = x`
        names = []
        while len(parts) > 1 and (is_name(parts[0]) or (combined and _COMBINATION.fullmatch(parts[0]))):
            names.append(parts[0])
            parts, signs = parts[1:], signs[1:]
        if not names and any(_LETTERS.search(part) and "\\text" not in part for part in parts):
            return None
        if (
            not names
            and len(parts) == 2
            and signs == ["="]
            and parse_number(parts[0]) == parse_number(parts[1]) is None
        ):
            return cls(names, parts, signs)
        if names and name_key(names[0]) and _occurs(names[0], parts[-1]) and is_name(names[0]):
            return None  # `x = 2x - 5` is not solved
        return cls(names, parts, signs)

    def holds(self, same: Same) -> bool:
        """True if adjacent values are equal, or one is the other rounded where the chain allows it."""
        pairs = zip(self.values, self.values[1:], self.signs, strict=False)
        return all(
            (sign == "=" and (same(left, right) or same(right, left))) or _approximates(left, right, sign)
            for left, right, sign in pairs
        )

    @property
    def candidates(self) -> list[str]:
        """Possible values of the chain; a rounded value counts only with enough digits."""
        unit = self.values[-1][len(strip_unit(self.values[-1])[0]) :]
        found = [self.values[0] + ("" if len(self.values) == 1 or strip_unit(self.values[0])[1] else unit)]
        for value, sign in zip(self.values[1:], self.signs, strict=False):
            number = parse_number(value)
            if sign == "=" or (number is not None and number.significant >= _DIGITS):
                found.append(value)
        return found


def _occurs(name: str, text: str) -> bool:
    key = name_key(name)
    return len(key) == 1 and re.search(rf"(?<![\\a-zA-Z]){re.escape(key)}(?![a-zA-Z({{])", text) is not None


def _same_names(gold: list[str], answer: list[str]) -> bool:
    if not gold or not answer:
        return True
    one, other = name_key(gold[0]), name_key(answer[0])
    if one == other:
        return True
    # `y = x^2` and `f(x) = x^2` are the same function.
    return any(
        name == "y" and _FUNCTION_OF_X.fullmatch(function)
        for name, function in ((gold[0], answer[0]), (answer[0], gold[0]))
    )


def _approximates(left: str, right: str, sign: str) -> bool:
    """True if one value is the other, rounded or truncated; after a plain ``=`` to at least three decimals."""
    (left, unit), (right, other_unit) = strip_unit(left), strip_unit(right)
    if unit is not None and other_unit is not None and not same_unit(unit, other_unit):
        return False
    for exact, rounded in ((left, right), (right, left)):
        number = parse_number(rounded)
        if number is None or (sign == "=" and (number.decimals or 0) < _DIGITS):
            continue
        value = decimal_value(parsed(exact).value)
        if value is None:
            continue
        unit = sympy.Rational(1, 10 ** (number.decimals or 0))
        written = sympy.Rational(number.value.numerator, number.value.denominator)
        if abs(written - value) <= unit / 2 or 0 <= abs(value) - abs(written) < unit:
            return number.decimals is not None or abs(value) >= 100 or value == number.value
    return False


def same_relation(same: Same, gold: str, answer: str) -> bool | None:
    """Compare equations and inequalities; None if neither side is one."""
    signs, other_signs = relation_signs(gold), relation_signs(answer)
    if not signs and not other_signs:
        return None
    if not other_signs:
        return sets_equal(set_of(gold, solve=True), set_of(answer))
    if is_equation(signs) and is_equation(other_signs):
        return _equations(gold, answer)
    # An inequality and an equation, or a relation that earlier rules could not read as a value or a set.
    comparable = signs and not is_equation(signs) and not is_equation(other_signs)
    return bool(comparable) and _same_inequality(gold, answer)


def _same_inequality(gold: str, answer: str) -> bool:
    bounds, other_bounds = solved(gold), solved(answer)
    if bounds is not None:
        return other_bounds is not None and (bounds_equal(bounds, other_bounds) or _inequalities(gold, answer))
    if other_bounds is not None:
        return sets_equal(set_of(gold, solve=True), set_of(answer))
    return _inequalities(gold, answer)


def _equations(gold: str, answer: str) -> bool:
    parts, other = sides(gold), sides(answer)
    if len(parts) != 2 or len(other) != 2:
        return False
    functions = function_letters(gold, answer)
    differences = []
    for left, right in (parts, other):
        one, two = parsed(left, functions), parsed(right, functions)
        differences.append(one.value - two.value)
    if _is_solved(gold) and not _is_solved(answer):
        names = {symbol.name for symbol in differences[0].free_symbols}
        if len(names) < 2 or (is_name(parts[0]) and not names <= _COORDINATES):
            return False  # only curves may be in implicit form
    return constant_ratio(*differences) is not None


def _is_solved(text: str) -> bool:
    left, right = sides(text)
    return any(is_name(name) and not _occurs(name, value) for name, value in ((left, right), (right, left)))


def _inequalities(gold: str, answer: str) -> bool:
    differences = []
    strict = []
    for text in (gold, answer):
        signs, parts = relation_signs(text), sides(text)
        if len(signs) != 1:
            return False
        left, right = (parsed(part).value for part in parts)
        differences.append(right - left if signs[0] in ("<", "\\leq") else left - right)
        strict.append(signs[0] in ("<", ">") or signs[0])
    if [s is True for s in strict] != [strict[0] is True] * 2 or ("\\neq" in strict) != (strict == ["\\neq"] * 2):
        return False
    ratio = constant_ratio(*differences)
    return ratio is not None and (ratio > 0 or strict == ["\\neq"] * 2)
