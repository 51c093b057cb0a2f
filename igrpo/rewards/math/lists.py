r"""Comparison of lists, sets, tuples and assignments by element, with a given comparison of elements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from igrpo.rewards.math.structure import Collection, collection, is_equation, is_name, plus_minus, relation_signs, sides

Same = Callable[[str, str], bool]

_MAX_MATCHED = 40


def in_order(same: Same, gold: Sequence[str], answer: Sequence[str]) -> bool:
    """True if the elements are equal in order."""
    return len(gold) == len(answer) and all(map(same, gold, answer))


def in_any_order(same: Same, gold: Sequence[str], answer: Sequence[str]) -> bool:
    """True if the elements match one to one. Identical text is matched first, since it is common in long lists."""
    if len(gold) != len(answer):
        return False
    missing = list((Counter(gold) - Counter(answer)).elements())
    left = list((Counter(answer) - Counter(gold)).elements())
    if len(missing) > _MAX_MATCHED:
        return False
    for element in missing:
        match = next((other for other in left if same(element, other)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def same_collections(same: Same, gold: str, answer: str) -> bool | None:
    """Compare lists, sets, tuples and intervals; None if either side is none of these."""
    first, second = _as_collection(gold), _as_collection(answer)
    if first is None or second is None:
        return None
    if first.ordered and second.ordered:
        return first.brackets == second.brackets and in_order(same, first.elements, second.elements)
    if first.ordered or second.ordered:  # `1,2` for `(1,2)`, but not `{1,2}`, and in order
        bare = second if first.ordered else first
        return bare.brackets == "" and in_order(same, first.elements, second.elements)
    return in_any_order(same, _expanded(first.elements), _expanded(second.elements))


def same_assignments(same: Same, gold: str, answer: str) -> bool | None:
    """Compare lists of assignments; None if neither side is such a list.

    ``x=1,y=2`` is the same in any order, and as ``(1,2)``; ``x=1,x=2`` is the same as ``1,2``.
    """
    first, second = _assignments(gold), _assignments(answer)
    if first is not None and second is not None and sorted(first[0]) == sorted(second[0]):
        order = [second[0].index(name) for name in first[0]]
        return in_any_order(same, _tuples(first[1]), _tuples([[row[i] for i in order] for row in second[1]]))
    if first is not None and second is None and (plain := _values(answer)) is not None:
        return _against_values(same, first[1], plain)
    if second is not None and first is None and (plain := _values(gold)) is not None:
        return _against_values(lambda one, other: same(other, one), second[1], plain)
    lists = [found for found in map(collection, (gold, answer)) if found is not None and not found.ordered]
    return None if not lists else len(lists) == 2 and in_any_order(same, lists[0].elements, lists[1].elements)


def _against_values(same: Same, rows: list[list[str]], plain: Collection) -> bool:
    if len(rows) == 1:
        return in_order(same, rows[0], plain.elements)
    return in_any_order(same, _tuples(rows), _expanded(plain.elements))


def _values(text: str) -> Collection | None:
    return None if relation_signs(text) else _as_collection(text)


def _as_collection(text: str) -> Collection | None:
    found = collection(text)
    if found is None and len(values := plus_minus(text)) == 2:
        return Collection("", tuple(values))
    return found


def _expanded(elements: Sequence[str]) -> list[str]:
    return [value for element in elements for value in plus_minus(element)]


def _tuples(rows: list[list[str]]) -> list[str]:
    return [row[0] if len(row) == 1 else "(" + ",".join(row) + ")" for row in rows]


def _assignments(text: str) -> tuple[list[str], list[list[str]]] | None:
    """Return names and rows of values of a list of assignments; None for anything else."""
    if is_equation(relation_signs(text)) and len(parts := sides(text)) == 2:
        left, right = map(collection, parts)
        if left is not None and right is not None and left.brackets == right.brackets == "()":
            fits = len(left.elements) == len(right.elements) and all(map(is_name, left.elements))
            return (list(left.elements), [list(right.elements)]) if fits else None
    found = collection(text)
    if found is None and "\\pm" in text:
        found = Collection("", (text,))
    if found is None or found.ordered:
        return None
    pairs: list[tuple[str, str]] = []
    for element in found.elements:
        parts = sides(element)
        if len(parts) == 1 and pairs and len({name for name, _ in pairs}) == 1:
            pairs.append((pairs[0][0], element))  # `a=4,-8,-10`
        elif len(parts) == 2 and is_equation(relation_signs(element)) and is_name(parts[0]):
            pairs.append((parts[0], parts[1]))
        else:
            return None
    names = list(dict.fromkeys(name for name, _ in pairs))
    if len(pairs) % len(names) or [name for name, _ in pairs] != names * (len(pairs) // len(names)):
        return None
    values = [value for _, value in pairs]
    rows = [values[i : i + len(names)] for i in range(0, len(values), len(names))]
    return names, ([[v] for row in rows for v in _expanded(row)] if len(names) == 1 else rows)
