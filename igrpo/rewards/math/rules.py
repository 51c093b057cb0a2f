r"""Rules for comparing two answers. `equivalence.RULES` defines their order and gives examples.

A rule returns True or False if it decides the comparison, and None to pass it on to the next rule.
"""

from __future__ import annotations

import math
import re

from igrpo.rewards.math import symbolic
from igrpo.rewards.math.comparing import Comparing
from igrpo.rewards.math.functions import UnparsableError
from igrpo.rewards.math.numbers import Number, based_number, numbers_equal, parse_number, stands_for
from igrpo.rewards.math.parameters import declared, with_constant_named
from igrpo.rewards.math.relations import same_chain, same_relation
from igrpo.rewards.math.structure import (
    function_letters,
    relation_signs,
    sides,
    split_top,
)

_WRITTEN_ONLY = re.compile(r"\\(?:pmod|equiv|nmid|parallel|perp|cong|sim)(?![a-zA-Z])|\|(?=[A-Z]\))")
_LOGIC = re.compile(r"\\(?:forall|exists|neg|iff|implies|Rightarrow|Leftrightarrow|to)\b")
_CONGRUENT = re.compile(r"^[a-z]\\equiv ?| ")
_DATE = re.compile(r"[0-9]{1,4}/[0-9]{1,2}/[0-9]{1,4}")
#: Time of day, which is not equal to any other ratio.
_CLOCK = re.compile(r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]")


def percents(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare percentages. If only one side has a percent sign, the configured convention decides."""
    signs = [text.endswith("\\%") for text in (gold, answer)]
    if not any(signs):
        return None
    gold, answer = gold.removesuffix("\\%"), answer.removesuffix("\\%")
    if all(signs):
        return it.same(gold, answer)
    # The convention applies only to whole answers: a percent sign on one side within a tuple is wrong.
    if it.within or parse_number(gold) is None or parse_number(answer) is None:
        return False
    policy = it.conventions.percent
    if policy in ("number", "any") and it.same(gold, answer):
        return True
    if policy not in ("value", "any"):
        return False
    gold, answer = (rf"\frac{{{t}}}{{100}}" if p else t for t, p in zip((gold, answer), signs, strict=True))
    return it.same(gold, answer)


def written(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare dots, quantifiers, congruences and dates as they are written."""
    if _LOGIC.findall(gold) != _LOGIC.findall(answer) or _primes(gold, answer) != _primes(answer, gold):
        return False
    if _WRITTEN_ONLY.search(gold) or _WRITTEN_ONLY.search(answer):
        return _CONGRUENT.sub("", gold) == _CONGRUENT.sub("", answer)
    for shape in (_DATE, _CLOCK):
        if shape.fullmatch(gold) and shape.fullmatch(answer):
            return [int(part) for part in re.split("[/:]", gold)] == [int(part) for part in re.split("[/:]", answer)]
    dotted = [any("\\ldots" in part and parse_number(part) is None for part in sides(text)) for text in (gold, answer)]
    return False if any(dotted) else None


def _primes(text: str, other: str) -> int:
    """Count the primes in a text. If the other text is a bare value, count only those after the last relation sign."""
    return (text if relation_signs(other) else sides(text)[-1]).count("'")


def parameter(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare answers with parameters, such as an integer `k`, regardless of their names."""
    first, second = declared(gold), declared(answer)
    if first is None and second is None:
        return None
    if first is not None and second is not None:
        return first.domain.removeprefix("set:") == second.domain.removeprefix("set:") and it.same(
            first.named, second.named
        )
    lone = first or second
    if lone is None or lone.domain.startswith("set:"):
        return None
    return it.same(first.body if first else gold, second.body if second else answer)


def chain(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare the value after a name or at the end of a chain of equalities."""
    return same_chain(it.same, gold, answer)


def based(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare numbers with a base."""
    based, other = based_number(gold), based_number(answer)
    if based is None or other is None:
        if based == other:
            return None
        optional = it.conventions.base_subscript == "optional"
        return based is not None and optional and answer.lower() == based[0]
    return based == other


def numbers(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare single numbers."""
    number, other = parse_number(gold), parse_number(answer)
    if number is None or other is None:
        return None
    # `1,234` may also be a list, so a difference as a number is not decisive.
    return True if numbers_equal(number, other) else None if "," in gold + answer else False


def relation(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare equations and inequalities."""
    return same_relation(it.same, gold, answer)


def _reducible(clock: str) -> bool:
    return math.gcd(*map(int, clock.split(":"))) > 1


def ratio(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare ratios, up to a common factor."""
    parts = split_top(gold, (":",)), split_top(answer, (":",))
    if len(parts[0]) == len(parts[1]) == 1:
        return None
    if len(parts[0]) == 2 and len(parts[1]) == 1 and not _CLOCK.fullmatch(gold):
        return it.same(rf"\frac{{{parts[0][0]}}}{{{parts[0][1]}}}", answer)
    if len(parts[0]) != len(parts[1]) or any(_CLOCK.fullmatch(one) and _reducible(one) for one in (gold, answer)):
        return False
    values = [[symbolic.parsed(part).value for part in side] for side in parts]
    return all(
        symbolic.equal(values[0][0] * other, values[1][0] * one)
        for one, other in zip(values[0][1:], values[1][1:], strict=True)
    )


def expression(it: Comparing, gold: str, answer: str) -> bool:
    """Compare expressions by computer algebra."""
    functions = function_letters(gold, answer)
    second = symbolic.parsed(answer, functions)
    try:
        first = symbolic.parsed(gold, functions)
    except UnparsableError:
        return False
    if (verdict := _rounded(parse_number(gold), parse_number(answer), first.value, second.value)) is not None:
        return verdict
    if it.conventions.unevaluated == "rejected" and second.pending - first.pending:
        return False
    return symbolic.equal(first.value, with_constant_named(first.value, second.value))


def _rounded(gold: Number | None, answer: Number | None, first: object, second: object) -> bool | None:
    """Compare a decimal with a constant such as a root, by the same rules as a decimal with a fraction."""
    for number, expression, decimals in ((gold, second, 0), (answer, first, 4)):
        if number is not None and number.decimals is not None:
            value = symbolic.decimal_value(expression)
            if value is None or value == number.value:
                return None
            return stands_for(number, value, decimals)
    return None
