r"""Rules about words: choice letters, text, units, and formulas with words between them."""

from __future__ import annotations

from igrpo.rewards.math.comparing import Comparing
from igrpo.rewards.math.numbers import parse_number
from igrpo.rewards.math.quantities import NUMBER_WORDS, same_unit, strip_letter, strip_unit
from igrpo.rewards.math.text import (
    around_words,
    choice,
    choices,
    chosen,
    is_all_real_numbers,
    is_no_solution,
    is_text,
    spoken,
    without_text,
    words,
)


def same_words(it: Comparing, gold: str, answer: str) -> bool | None:
    """Accept the same choice letter or the same words."""
    letter, other = choice(gold), choice(answer)
    if letter is not None and other is not None:
        return letter == other or (letter in "ABCDEFGHIJ" and letter == other.upper())
    if (letter is not None and letter == chosen(answer)) or (other is not None and other == chosen(gold)):
        return True
    if (several := choices(gold)) is not None and "," in gold + answer and several == choices(answer):
        return True
    said = spoken(gold)
    if said is None or said != spoken(answer):
        return None
    return True if same_unit(strip_unit(gold)[1], strip_unit(answer)[1]) else None  # not `mW` for `MW`


def other_words(it: Comparing, gold: str, answer: str) -> bool | None:
    """Reject different words; compare words for the empty set, all real numbers and small numbers."""
    if is_no_solution(answer) or is_no_solution(gold):
        return bool({"\\emptyset", "\\{\\}"} & {gold, answer}) or is_no_solution(gold) == is_no_solution(answer)
    if _in_digits(answer) == _in_digits(gold):
        return True
    if is_all_real_numbers(gold) or is_all_real_numbers(answer):
        return it.same(*("\\mathbb{R}" if is_all_real_numbers(text) else text for text in (gold, answer)))
    both_spoken = spoken(gold) is not None and spoken(answer) is not None
    return False if both_spoken or is_text(gold) or is_text(answer) else None


def _in_digits(text: str) -> str:
    bare = without_text(text).strip().lower()
    return NUMBER_WORDS.get(bare, text)


def quantity(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare quantities, with or without units."""
    (gold_core, gold_unit), (core, unit) = strip_unit(gold), strip_unit(answer)
    if unit is None and parse_number(gold_core) is not None:
        core, unit = strip_letter(answer, expected=gold_unit)
    if gold_unit is None and unit is None:
        return None
    return same_unit(gold_unit, unit) and it.same(gold_core, core)


def between_words(it: Comparing, gold: str, answer: str) -> bool | None:
    """Compare formulas with the same words between them."""
    said = words(gold)
    if said != words(answer):
        joints = {"and", "or"}
        return None if set(said) | set(words(answer)) <= joints else False
    if not said or set(said) <= {"and", "or"}:
        return None
    pairs = list(zip(around_words(gold), around_words(answer), strict=True))
    return all(one == other or (bool(one and other) and it.same(one, other)) for one, other in pairs)
