r"""Quantities with units: ``5\text{ cm}``, ``9.8 m/s^2``, ``30^\circ``, ``20 people``.

If only one side has a unit, the units are not compared. Two units must be the same, with the same power: known units
are compared by their table, other words by their stems.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from igrpo.rewards.math.spellings import (
    AMBIGUOUS_SYMBOLS,
    COMPOUND_UNITS,
    MEANINGFUL,
    NEUTRAL,
    UNIT_NAMES,
    UNIT_SYMBOLS,
)

#: Every spelling of a unit in lower case, mapped to its first one.
UNITS = {name: names.split()[0] for names in UNIT_NAMES.split("|") for name in names.split()}

#: Number words, mapped to digits.
NUMBER_WORDS = {
    word: str(number)
    for words, numbers in (
        (
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
            " seventeen eighteen nineteen",
            range(20),
        ),
        ("twenty thirty forty fifty sixty seventy eighty ninety", range(20, 100, 10)),
    )
    for word, number in zip(words.split(), numbers, strict=True)
}
_POWER = r"(?:\^(?:\{-?[1-9]\}|[1-9]))?"
_LONG_NAMES = "|".join(
    sorted((n for n in {*UNITS, *UNIT_SYMBOLS, *COMPOUND_UNITS} if len(n) > 1), key=len, reverse=True)
)
_WORD = r"[A-Za-z]*[aeiouyAEIOUY][A-Za-z]*"
_TEXTS = rf"\\text ?\{{[^{{}}]*\}}{_POWER}"
_NAMED = rf"(?:{_LONG_NAMES})(?![A-Za-z]){_POWER}"
#: Possible beginnings of a unit, with the text that must precede them.
_FIRST = "|".join(
    (
        r"\^\\circ",
        rf"(?<=[0-9}})\]a-zA-Z!|]) ?{_TEXTS}",
        rf"(?<=[0-9}})]) ?(?:square |cubic |sq |cu )?{_NAMED}",
        r"(?<=\\pi) (?:(?:square|cubic|sq) [a-z]+|cm|mm|km|ft|feet|inch(?:es)?|[a-z]*met(?:er|re)s?|units?)(?![A-Za-z])"
        + _POWER,
        r"(?<=[0-9]) ?(?:[A-Za-z](?=/)|m(?=\^[23{]))(?:\^(?:\{?[23]\}?))?",
    )
)
#: Possible continuations of a unit.
_MORE = (
    rf"(?: ?(?:/|\\cdot|\*|\^\\circ)? ?(?:{_TEXTS}|{_NAMED}|(?<=/)[A-Za-z]{_POWER}))*(?: ?(?<![A-Za-z]){_WORD}){{0,2}}"
)
_TAILS = tuple(
    re.compile(rf"(?P<core>.+?)(?P<unit>{tail})[.]?", re.DOTALL)
    for tail in (rf"(?:{_FIRST}){_MORE}", rf"(?<=[0-9}}\]]) {_WORD}(?: {_WORD}){{0,3}}")
)
_TOKEN = re.compile(r"[A-Za-z]+|/|\^\{?(?P<power>-?[0-9])\}?")
_IN_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")
_ABBREVIATED = re.compile(r"\b([A-Za-z])\.(?=[A-Za-z]\b)")  # `a.m.`
_UNIT_TEXT = re.compile(r"[A-Za-z0-9\s/^{}().,'\-]*")
_LOOSE_DIGIT = re.compile(r"(?<![\^{-])[0-9]")
_POWERS_BEFORE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_POWERS_BEHIND = {"squared": 2, "cubed": 3}
_QUANTITY = re.compile(r"[0-9]|\\[a-zA-Z]")
_FUNCTION = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_LETTER_UNIT = re.compile(r"(?P<core>-?[0-9][0-9,]*(?:\.[0-9]+)?) ?(?P<unit>[A-Za-z])")
_LETTERS_OF_NUMBERS = frozenset("mgsL")


@dataclass(frozen=True, slots=True)
class Unit:
    """Parsed unit: known units with their powers, sorted, and the stems of other words."""

    known: tuple[tuple[str, int], ...]
    stems: frozenset[str]
    ambiguous: bool = False
    power: int = 1  #: power of `square units`

    @property
    def neutral(self) -> bool:
        return not self.known and not self.stems


def is_unit_word(word: str) -> bool:
    """True if the word may be part of a unit, as in ``square meters``."""
    return _UnitReader.parts(word) is not None or word.lower() in (
        *_POWERS_BEFORE,
        *_POWERS_BEHIND,
        "per",
        "unit",
        "units",
    )


def strip_unit(answer: str) -> tuple[str, Unit | None]:
    """Return the quantity without the unit or remark at its end, and that unit (None: there is none).

    Words are stripped only if the text before them contains a digit or a command.
    """
    for tail in _TAILS:
        match = tail.fullmatch(answer)
        if match is None:
            continue
        core, text = match["core"].rstrip(" \\"), match["unit"]
        unit = unit_of(text)
        spelled = _spelled(text)
        if spelled is not None and spelled == core:
            return core, Unit((), frozenset())  # `12 \text{ (twelve)}`
        degrees_of_function = "^\\circ" in text and _FUNCTION.search(core)
        if unit is not None and _QUANTITY.search(core) and "\\text" not in core and not degrees_of_function:
            return core, unit
    return answer, None


def strip_letter(answer: str, *, expected: Unit | None) -> tuple[str, Unit | None]:
    """Return the number before a single letter that may be its unit (``13m``), and that unit.

    Use it only if the gold answer is a number, since ``13m`` may also be a product.

    Args:
        answer: the answer.
        expected: unit of the gold answer; without one, only a few letters count as units.
    """
    match = _LETTER_UNIT.fullmatch(answer)
    if match is None or (expected is None and match["unit"] not in _LETTERS_OF_NUMBERS):
        return answer, None
    unit = unit_of(match["unit"])
    return (match["core"], unit) if unit is not None and unit.known else (answer, None)


def _spelled(text: str) -> str | None:
    words = re.findall(r"[a-z]+", text.replace("\\text", "").lower())
    return NUMBER_WORDS.get(words[0]) if len(words) == 1 else None


def unit_of(text: str) -> Unit | None:
    """Parse the text after a quantity as a unit; None if its words change the meaning of the answer."""
    text = _IN_TEXT.sub(r" \1 ", text.replace("^\\circ", " degrees ")).replace("\\cdot", " ")
    text = _ABBREVIATED.sub(r"\1", text)
    if not _UNIT_TEXT.fullmatch(text) or _LOOSE_DIGIT.search(text):
        return None
    reader = _UnitReader()
    return reader.unit() if all(reader.read(token) for token in _TOKEN.finditer(text)) else None


class _UnitReader:
    """Reader of the words of a unit, from left to right."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._stems: set[str] = set()
        self._sign, self._power, self._previous, self._ambiguous = 1, 0, "", False
        self._units = 1

    def unit(self) -> Unit:
        known = sorted((name, power) for name, power in self._known.items() if power)
        return Unit(tuple(known), frozenset(self._stems), self._ambiguous, self._units)

    def read(self, match: re.Match[str]) -> bool:
        """Read one token; return False if the text is not a unit."""
        token, word = match.group(), match.group().lower()
        if match["power"] is not None:
            return self._raise(int(match["power"]))
        if token == "/" or word == "per":
            self._sign = -1
        elif word in _POWERS_BEFORE:
            self._power = _POWERS_BEFORE[word]
        elif word in _POWERS_BEHIND and self._previous in self._known:
            return self._raise(_POWERS_BEHIND[word])
        elif (parts := self.parts(token)) is not None:
            for name, power in parts:
                self._known[name] = self._known.get(name, 0) + self._sign * power * (self._power or 1)
                self._previous = name
            self._power = 0
            self._ambiguous |= token in AMBIGUOUS_SYMBOLS
        elif word in MEANINGFUL or (len(word) == 1 and word not in NEUTRAL):
            return False
        elif word in NEUTRAL:
            if word in ("unit", "units"):
                self._units = self._power or 1
            self._previous, self._power = word, 0
        else:
            self._stems.add(stem(word))
        return True

    def _raise(self, power: int) -> bool:
        if self._previous in self._known:
            self._known[self._previous] += self._sign * (power - 1)
        if self._previous in ("unit", "units"):
            self._units = power
            return True
        return self._previous in self._known

    @staticmethod
    def parts(token: str) -> tuple[tuple[str, int], ...] | None:
        if (compound := COMPOUND_UNITS.get(token.lower())) is not None:
            return compound
        name = UNIT_SYMBOLS.get(token) or UNITS.get(token.lower())
        return None if name is None else ((name, 1),)


def stem(word: str) -> str:
    """Remove the plural ending of a word."""
    for ending, singular in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 1 and not word.endswith("ss"):
            return word.removesuffix(ending) + singular
    return word


def same_unit(gold: Unit | None, answer: Unit | None) -> bool:
    """True if two units may mean the same. A missing unit matches any that is not ambiguous."""
    if gold is None or answer is None:
        present = gold or answer
        return present is None or not present.ambiguous
    if gold.neutral or answer.neutral:
        powers = [unit.power if unit.neutral else sum(abs(power) for _, power in unit.known) for unit in (gold, answer)]
        return powers[0] == powers[1] or max(gold.power, answer.power) == 1
    return gold.known == answer.known and gold.stems == answer.stems
