r"""Whether two answers are the same mathematical object. Runs in a worker process.

The outer shape is compared first, as text: words, lists, tuples, intervals, matrices, names before an ``=``. What is
left are expressions, compared exactly (``symbolic``). A verdict ``right`` needs every part to match.
"""

from __future__ import annotations

import re
from typing import Literal

from igrpo.rewards.math import symbolic
from igrpo.rewards.math.conventions import AnswerConventions
from igrpo.rewards.math.lists import in_any_order, in_order, same_assignments, same_collections
from igrpo.rewards.math.numbers import Number, based_number, numbers_equal, parse_number, stands_for
from igrpo.rewards.math.structure import (
    is_equation,
    is_name,
    matrix,
    only_value,
    plus_minus,
    relation_signs,
    sides,
    split_top,
    without_thousands,
)
from igrpo.rewards.math.symbolic import UnparsableError
from igrpo.rewards.math.text import around_words, choice, chosen, is_text, letters_only, same_unit, strip_unit, words

Verdict = Literal["right", "wrong", "unparsable"]

_WRITTEN_ONLY = re.compile(
    r"\\(?:gcd|lcm)[ (\[{]*[^0-9(\[{]|\\(?:triangle|angle|overline|widehat|vec|hat) ?\{?[A-Za-z]"
)
_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=[a-zA-Z])")
_IDLE_SPACE = re.compile(r"(?<![0-9]) | (?![0-9])")
_JOINED = re.compile(r"\\text\{(?:or|and)\}")
_LOGIC = re.compile(r"\\(?:forall|exists|neg|iff|implies|Rightarrow|Leftrightarrow|to)\b")


def compare(gold: str, answer: str, conventions: AnswerConventions) -> Verdict:
    """The verdict on two normalised answers."""
    if "matrix" not in gold and "array" not in gold:
        gold = _DOUBLED_BACKSLASH.sub(r"\\", gold)  # data sets hold twice-escaped golds; an answer is read as written
    if _DOUBLED_BACKSLASH.search(answer) and "\\begin" not in answer:
        return "unparsable"
    try:
        return "right" if Comparison(conventions).same(gold, answer) else "wrong"
    except UnparsableError:
        return "unparsable"
    except MemoryError:
        raise
    except Exception:  # SymPy raises whatever it likes; the answer was read, and nothing shows it to be the gold
        return "wrong"


class Comparison:
    """The rules, in the order in which they are tried; each either decides or leaves it to the next."""

    def __init__(self, conventions: AnswerConventions) -> None:
        self._conventions = conventions

    def same(self, gold: str, answer: str) -> bool:
        """Whether ``answer`` says what ``gold`` says. Raises UnparsableError when nobody can tell what it says."""
        gold, answer = _clean(gold), _clean(answer)
        if _IDLE_SPACE.sub("", gold) == _IDLE_SPACE.sub("", answer):
            return bool(gold)
        rules = (
            self._percent, self._written, self._value, self._alternatives, self._based, self._words,
            self._number, self._shape, self._relation,
        )  # fmt: skip
        for rule in rules:
            verdict = rule(gold, answer)
            if verdict is not None:
                return verdict
        return self._expression(gold, answer)

    def _percent(self, gold: str, answer: str) -> bool | None:
        percents = [text.endswith("\\%") for text in (gold, answer)]
        if not any(percents):
            return None
        gold, answer = gold.removesuffix("\\%"), answer.removesuffix("\\%")
        if all(percents):
            return self.same(gold, answer)
        if self._conventions.percent in ("number", "any") and self.same(gold, answer):
            return True
        if self._conventions.percent not in ("value", "any"):
            return False
        gold, answer = (rf"\frac{{{t}}}{{100}}" if p else t for t, p in zip((gold, answer), percents, strict=True))
        return self.same(gold, answer)

    def _written(self, gold: str, answer: str) -> bool | None:
        """What only the writing tells: sequences with dots, quantified statements."""
        if _LOGIC.findall(gold) != _LOGIC.findall(answer) or gold.count("'") != answer.count("'"):
            return False
        if _WRITTEN_ONLY.search(gold) or _WRITTEN_ONLY.search(answer):
            return False if not relation_signs(gold) + relation_signs(answer) else None
        dotted = [parse_number(text) is None and "\\ldots" in text for text in (gold, answer)]
        return False if any(dotted) else None

    def _value(self, gold: str, answer: str) -> bool | None:
        """A name before the value (``x=5``, ``x \\in [1,2]``) says nothing against an answer that is the bare value."""
        signs = relation_signs(gold), relation_signs(answer)
        if signs == (["\\in"], ["\\in"]) and sides(gold)[0] != sides(answer)[0]:
            return False
        equations = [is_equation(found) for found in signs]
        values = only_value(gold, strip=not equations[1]), only_value(answer, strip=not equations[0])
        return None if values == (gold, answer) else self.same(*values)

    def _alternatives(self, gold: str, answer: str) -> bool | None:
        """Conditions joined by `or` and `and`, against themselves in any order, intervals and their unions."""
        if not _JOINED.search(gold) and not _JOINED.search(answer):
            return None
        for word in ("or", "and"):
            pieces = [text.split(rf"\text{{{word}}}") for text in (gold, answer)]
            if len(pieces[0]) == len(pieces[1]) > 1 and in_any_order(self.same, *pieces):
                return True
        return symbolic.equal(_set_of_conditions(gold), _set_of_conditions(answer))

    def _words(self, gold: str, answer: str) -> bool | None:
        letters = choice(gold), choice(answer)
        if None not in letters:
            return letters[0] == letters[1]
        if letters != (None, None) and letters[::-1] == (chosen(gold), chosen(answer)):
            return True
        if is_text(gold) or is_text(answer):
            return letters_only(gold) == letters_only(answer)
        return self._quantities(gold, answer)

    def _quantities(self, gold: str, answer: str) -> bool | None:
        """A quantity with and without its unit; formulas with words between them."""
        (gold_core, gold_unit), (core, unit) = strip_unit(gold), strip_unit(answer)
        if gold_unit is not None or unit is not None:
            return same_unit(gold_unit, unit) and self.same(gold_core, core)
        said = words(gold)
        if said != words(answer):
            return False
        if not said:
            return None
        pairs = list(zip(around_words(gold), around_words(answer), strict=True))
        return all(one == other or (bool(one and other) and self.same(one, other)) for one, other in pairs)

    def _based(self, gold: str, answer: str) -> bool | None:
        based, other = based_number(gold), based_number(answer)
        if based is None or other is None:
            if based == other:
                return None
            optional = self._conventions.base_subscript == "optional"
            return based is not None and optional and answer.lower() == based[0]
        return based == other

    def _number(self, gold: str, answer: str) -> bool | None:
        number, other = parse_number(gold), parse_number(answer)
        if number is None or other is None:
            return None
        # `1,234` may also be a list: that it differs as a number decides nothing.
        return True if numbers_equal(number, other) else None if "," in gold + answer else False

    def _shape(self, gold: str, answer: str) -> bool | None:
        cells, other_cells = matrix(gold), matrix(answer)
        if cells is not None and other_cells is not None:
            return len(cells) == len(other_cells) and all(
                in_order(self.same, row, other) for row, other in zip(cells, other_cells, strict=True)
            )
        whole = without_thousands(gold), without_thousands(answer)
        if whole != (gold, answer) and self.same(*whole):
            return True
        if "\\cup" in gold and "\\cup" in answer:
            pieces = split_top(gold, ("\\cup",)), split_top(answer, ("\\cup",))
            if len(pieces[0]) > 1 and in_any_order(self.same, *pieces):
                return True
        if relation_signs(gold) or relation_signs(answer):
            return same_assignments(self.same, gold, answer)
        return same_collections(self.same, gold, answer)

    def _relation(self, gold: str, answer: str) -> bool | None:
        signs, other_signs = relation_signs(gold), relation_signs(answer)
        if not signs and not other_signs:
            return None
        if is_equation(signs) and is_equation(other_signs):
            left, right = sides(gold), sides(answer)
            if left[0] == right[0] and is_name(left[0]):
                return self.same(left[-1], right[-1])
        first, second = symbolic.parsed(gold), symbolic.parsed(answer)
        if signs and other_signs:
            return symbolic.equations_equal(first, second)
        return symbolic.equal(first, second) if not is_equation(signs or other_signs) else False

    def _expression(self, gold: str, answer: str) -> bool:
        values = plus_minus(gold), plus_minus(answer)
        if len(values[0]) != 1 or len(values[1]) != 1:
            return len(values[0]) == len(values[1]) and in_any_order(self.same, *values)
        parts = split_top(gold, (":",)), split_top(answer, (":",))
        if len(parts[0]) > 1 or len(parts[1]) > 1:
            return in_order(self.same, *parts)
        second = symbolic.parsed(answer)
        try:
            first = symbolic.parsed(gold)
        except UnparsableError:
            return False
        if rounded := self._rounded(parse_number(gold), parse_number(answer), first, second):
            return rounded
        return symbolic.equal(first, second)

    @staticmethod
    def _rounded(gold: Number | None, answer: Number | None, first: object, second: object) -> bool:
        """A decimal against a constant like a root: the same rules as between a decimal and a fraction."""
        for number, expression, decimals in ((gold, second, 0), (answer, first, 4)):
            if number is not None and number.decimals is not None:
                value = symbolic.decimal_value(expression)
                return value is not None and stands_for(number, value, decimals)
        return False


def _clean(text: str) -> str:
    text = text.strip()
    while text.startswith("{") and text.endswith("}") and text.count("{") == 1:
        text = text[1:-1].strip()
    return text.replace("+-", "-").replace("--", "+").removeprefix("+")


def _set_of_conditions(text: str) -> object:
    found = symbolic.alternatives(
        [[symbolic.parsed(part) for part in piece.split(r"\text{and}")] for piece in text.split(r"\text{or}")]
    )
    if found is None:
        raise UnparsableError(text)
    return found
