r"""Rules for comparing answers of several parts: lists, sets, matrices, conditions (see `igrpo.rewards.math.rules`)."""

from __future__ import annotations

import re

from igrpo.rewards.math.comparing import Comparing
from igrpo.rewards.math.lists import in_any_order, in_order, same_assignments, same_collections
from igrpo.rewards.math.sets import set_name, set_of, sets_equal
from igrpo.rewards.math.structure import (
    is_inequality,
    matrix,
    name_key,
    only_element,
    piecewise,
    plus_minus,
    relation_signs,
    sides,
    split_top,
    without_thousands,
)

_SET = re.compile(
    r"\\(?:in(?![a-z])|cup|cap|setminus|emptyset|mathbb|text\{(?:or|and)\})|^\\\{|^[(\[].*[)\]]$|[<>]|\\[lg]eq|\\neq"
)
_SAYS_SET = re.compile(r"\\(?:in(?![a-z])|cup|cap|setminus|emptyset|mathbb)|[|:]")


def membership(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare ``x \\in S`` with another membership, or with the set alone."""
    members = [relation_signs(text) == ["\\in"] for text in (gold, answer)]
    if not any(members) or any(is_inequality(text) for text in (gold, answer)):
        return None
    (name, values), (other_name, other_values) = (
        sides(text) if member else ("", text) for text, member in zip((gold, answer), members, strict=True)
    )
    if all(members) and name_key(name) != name_key(other_name):
        return False
    return it.same(values, other_values)


def conditions(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare conditions joined by `or` and `and`, in any order."""
    for word in ("or", "and"):
        pieces = [text.split(rf"\text{{{word}}}") for text in (gold, answer)]
        if len(pieces[0]) == len(pieces[1]) > 1 and in_any_order(it.same_part, *pieces):
            return True
    return None


def matrices(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare matrices by their cells."""
    cells, other_cells = matrix(gold), matrix(answer)
    if cells is None or other_cells is None:
        return None
    return len(cells) == len(other_cells) and all(
        in_order(it.same_part, row, other) for row, other in zip(cells, other_cells, strict=True)
    )


def cases(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare definitions by cases, with the rows in any order."""
    rows, other_rows = piecewise(gold), piecewise(answer)
    if rows is None or other_rows is None:
        return None
    left = list(other_rows)
    for row in rows:
        match = next((other for other in left if all(map(it.same_part, row, other))), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def sets(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare sets of numbers and solved inequalities."""
    if not (_SET.search(gold) and _SET.search(answer)):
        return None
    if "\\cup" in gold and "\\cup" in answer:
        pieces = split_top(gold, ("\\cup",)), split_top(answer, ("\\cup",))
        if len(pieces[0]) > 1 and in_any_order(it.same_part, *pieces):
            return True
    if not any(relation_signs(text) or _SAYS_SET.search(text) for text in (gold, answer)):
        return None
    first, second = set_of(gold, solve=True), set_of(answer)
    if first is None or second is None:
        return None
    name, other_name = set_name(gold), set_name(answer)
    return (name is None or other_name is None or name == other_name) and sets_equal(first, second)


def collection(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare lists, sets, tuples and assignments by their elements."""
    whole = without_thousands(gold), without_thousands(answer)
    if whole != (gold, answer) and it.same(*whole):
        return True
    one, other = map(only_element, (gold, answer))
    if (one, other) != (gold, answer) and not it.within:
        return it.same(one, other)
    if relation_signs(gold) or relation_signs(answer):
        return same_assignments(it.same_part, gold, answer)
    verdict = same_collections(it.same_part, gold, answer)
    return False if verdict is None and whole != (gold, answer) else verdict


def alternatives(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare both values of an expression with a plus-minus sign."""
    values = plus_minus(gold), plus_minus(answer)
    if len(values[0]) == len(values[1]) == 1:
        return None
    return len(values[0]) == len(values[1]) and in_any_order(it.same_part, *values)
