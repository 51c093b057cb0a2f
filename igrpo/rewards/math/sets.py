r"""Sets of numbers: intervals, unions, ``x > 3``, ``1 < x \text{ and } x < 3``, ``\{x | x > 1\}``, ``\mathbb{R}``.

A relation counts as a set only if it is solved: it has a name alone on one side (or in the middle of a chain) and
bounds without that name. ``|x-1| < 3`` is a problem, not an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import sympy  # type: ignore[import-untyped]

from igrpo.rewards.math.functions import UnparsableError
from igrpo.rewards.math.structure import Collection, collection, is_name, name_key, relation_signs, sides, split_top
from igrpo.rewards.math.symbolic import REFUSALS, equal, parsed

_ALL = {
    "\\emptyset": sympy.S.EmptySet,
    "\\{\\}": sympy.S.EmptySet,
    "\\mathbb{R}": sympy.S.Reals,
    "\\mathbb{Z}": sympy.S.Integers,
    "\\mathbb{N}": sympy.S.Naturals,
}
_FLIPPED = {"<": ">", ">": "<", "\\leq": "\\geq", "\\geq": "\\leq", "\\neq": "\\neq"}
_BUILDER = re.compile(r"\\\{(?P<name>[a-zA-Z])(?:\\in ?\\mathbb\{R\})?(?:\||:)(?P<condition>.*)\\\}", re.DOTALL)
_AMONG_REALS = re.compile(r"^[a-zA-Z]\\in ?\\mathbb\{R\},(?=[a-zA-Z0-9])")
_JOINED = re.compile(r"\\text\{(or|and)\}")


@dataclass(frozen=True, slots=True)
class Bound:
    """Bound of a solved inequality: ``x > 3`` is Bound("x", ">", "3")."""

    name: str
    sign: str
    value: str


def solved(text: str) -> list[Bound] | None:
    """Return the bounds of an inequality that is solved for a name, lower bound first; None for any other text."""
    signs, parts = relation_signs(text), sides(text)
    if not signs or not all(parts) or not all(sign in _FLIPPED for sign in signs):
        return None
    if len(signs) == 1:
        return _one_bound(parts[0], parts[1], signs[0])
    upward, downward = (set(signs) <= direction for direction in ({"<", "\\leq"}, {">", "\\geq"}))
    if len(signs) != 2 or not (upward or downward):
        return None
    low, name, high = parts
    if not (_names(name, low) and _names(name, high)):
        return None
    bounds = [Bound(name, _FLIPPED[signs[0]], low), Bound(name, signs[1], high)]
    return bounds if upward else bounds[::-1]


def _one_bound(left: str, right: str, sign: str) -> list[Bound] | None:
    for name, direction, value in ((left, sign, right), (right, _FLIPPED[sign], left)):
        if _names(name, value):
            return [Bound(name, direction, value)]
        if name.startswith("-") and _names(name[1:], value):
            return [Bound(name[1:], _FLIPPED[direction], f"-({value})")]
    return None


def _names(name: str, value: str) -> bool:
    """True if ``name`` is a name, and ``value`` does not contain it."""
    if not is_name(name) or name.count("(") != name.count(")"):
        return False
    key = name_key(name)
    return len(key) > 1 or re.search(rf"(?<![\\a-zA-Z]){re.escape(key)}(?![a-zA-Z])", value) is None


def set_of(text: str, *, solve: bool = False) -> sympy.Set | None:
    """Return the set that a text describes, None if it does not describe one.

    Args:
        text: the text.
        solve: also solve inequalities in one variable, which is allowed for gold answers.
    """
    try:
        return _set_of(text, solve=solve)
    except REFUSALS:
        return None


def _set_of(text: str, *, solve: bool) -> sympy.Set | None:
    text = _AMONG_REALS.sub("", text)
    if text in _ALL:
        return _ALL[text]
    if (match := _BUILDER.fullmatch(text)) is not None:
        return set_of(match["condition"].replace(",", r"\text{and}"), solve=solve)
    if _JOINED.search(text):
        return _joint(text, solve=solve)
    for sign, make in (("\\cup", sympy.Union), ("\\cap", sympy.Intersection), ("\\setminus", sympy.Complement)):
        pieces = split_top(text, (sign,))
        if len(pieces) > 1:
            found = [set_of(piece, solve=solve) for piece in pieces]
            return None if None in found or (sign == "\\setminus" and len(found) > 2) else make(*found)
    signs = relation_signs(text)
    if signs == ["\\in"]:
        name, rest = sides(text)
        return set_of(rest, solve=solve) if is_name(name) else None
    return _of_relation(text, solve=solve) if signs else _of_brackets(text)


def set_name(text: str) -> str | None:
    """Return the name of the variable in a solved relation or a membership; None for a bare set."""
    if _BUILDER.fullmatch(text):
        return None
    names = set()
    for part in _JOINED.split(text)[::2]:
        if relation_signs(part) == ["\\in"]:
            names.add(name_key(sides(part)[0]))
        elif (bounds := solved(part)) is not None:
            names.add(name_key(bounds[0].name))
    return names.pop() if len(names) == 1 else None if not names else "?"


def _joint(text: str, *, solve: bool) -> sympy.Set | None:
    unions = []
    for piece in text.split(r"\text{or}"):
        parts = [set_of(part, solve=solve) for part in piece.split(r"\text{and}")]
        if None in parts:
            return None
        unions.append(sympy.Intersection(*parts))
    return sympy.Union(*unions)


def _of_relation(text: str, *, solve: bool) -> sympy.Set | None:
    bounds = solved(text)
    if bounds is None:
        return _solution(text) if solve else _of_equation(text)
    found = sympy.S.Reals
    for bound in bounds:
        value = _value(bound.value)
        if value is None:
            return None
        found = sympy.Intersection(found, _half(bound.sign, value))
    return found


def _of_equation(text: str) -> sympy.Set | None:
    if relation_signs(text) != ["="]:
        return None
    name, value = sides(text)
    number = _value(value) if is_name(name) and _names(name, value) else None
    return None if number is None else sympy.FiniteSet(number)


def _half(sign: str, value: Any) -> sympy.Set:
    if sign == "\\neq":
        return sympy.Complement(sympy.S.Reals, sympy.FiniteSet(value))
    if sign in ("<", "\\leq"):
        return sympy.Interval(-sympy.oo, value, True, sign == "<")
    return sympy.Interval(value, sympy.oo, sign == ">", True)


def _solution(text: str) -> sympy.Set | None:
    """Return the solutions of an inequality (or a chain of them) in one variable."""
    signs, parts = relation_signs(text), sides(text)
    make = {"<": sympy.Lt, "\\leq": sympy.Le, ">": sympy.Gt, "\\geq": sympy.Ge, "\\neq": sympy.Ne, "=": sympy.Eq}
    if not all(sign in make for sign in signs):
        return None
    try:
        values = [parsed(part).value for part in parts]
    except UnparsableError:
        return None
    symbols = set().union(*(value.free_symbols for value in values))
    if len(symbols) != 1:
        return None
    real = sympy.Symbol("x", real=True)
    values = [value.xreplace(dict.fromkeys(symbols, real)) for value in values]
    relations = [make[sign](values[i], values[i + 1]) for i, sign in enumerate(signs)]
    return sympy.And(*relations).as_set()


def _of_brackets(text: str) -> sympy.Set | None:
    found = collection(text)
    if found is None:
        found = Collection("{}", (text[2:-2],)) if text.startswith("\\{") and text.endswith("\\}") else None
    values = [] if found is None else [_value(element) for element in found.elements]
    if found is None or any(value is None for value in values):
        return None
    if found.brackets == "{}":
        return sympy.FiniteSet(*values)
    return _interval(found.brackets, *values) if found.ordered and len(values) == 2 else None


def _interval(brackets: str, low: Any, high: Any) -> sympy.Set | None:
    if not (high - low).is_extended_positive and not (low == high and brackets == "[]"):
        return None
    return sympy.Interval(low, high, brackets[0] == "(", brackets[1] == ")")


def _value(text: str) -> Any:
    """Parse a real constant or an infinity; None for anything else."""
    try:
        value = parsed(text.removeprefix("+")).value
    except UnparsableError:
        return None
    ok = isinstance(value, sympy.Expr) and not value.free_symbols and value.is_extended_real
    return value if ok else None


def sets_equal(gold: sympy.Set | None, answer: sympy.Set | None) -> bool:
    """True if two sets are known to have the same elements."""
    if gold is None or answer is None:
        return False
    try:
        return bool(gold == answer or gold.symmetric_difference(answer).is_empty)
    except REFUSALS:
        return False


def bounds_equal(gold: list[Bound], answer: list[Bound]) -> bool:
    """True if two solved inequalities have the same bounds. Used for bounds with variables."""
    return len(gold) == len(answer) and all(
        name_key(one.name) == name_key(other.name)
        and one.sign == other.sign
        and equal(parsed(one.value).value, parsed(other.value).value)
        for one, other in zip(gold, answer, strict=True)
    )
