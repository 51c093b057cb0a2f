"""Extraction of the answer from one sentence: a value, a choice letter, or a few words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from igrpo.rewards.math import wording
from igrpo.rewards.math.formulas import Prose
from igrpo.rewards.math.prose import MathSpan, has_words, result, runs, unit_behind, value

_FEW_WORDS = 6
_BEHIND = 8
_ATOM = "\U000f0000-\U000ffffd"
_SENTENCE_END = re.compile(r"\n|(?<!\.[a-z])(?<!\A[A-H])[.!?]+(?=[\s\"']|$)")
_EQUALS = re.compile(rf"(?<=[\w)}}{_ATOM}])\s+(?:equals|is equal to|are equal to)\s+(?=[-\d.(\\${_ATOM}])")
_WITH_RELATION = re.compile("[=<>≤≥]")
_COMPOUND = re.compile(r"\s*(?:,\s*)?(?:and\s+)?", re.IGNORECASE)


class Read(NamedTuple):
    """Answer as written. ``is_value`` is true for mathematics or a choice letter, false for words."""

    content: str
    is_value: bool


def says_something(text: str) -> bool:
    """True if the text contains a letter, a digit or a formula."""
    return re.search(rf"\w|[{_ATOM}]", text) is not None


def sentences(text: str, *, factorials: bool = True) -> Iterator[str]:
    """Yield the sentences of a text in order.

    A question keeps its question mark. With ``factorials``, a sentence without words (``5!``) keeps its exclamation
    mark.
    """
    start = 0
    for end in _SENTENCE_END.finditer(text):
        sentence, mark = text[start : end.start()].strip(), end.group()
        kept = "?" if "?" in mark else "!" if factorials and "!" in mark and not has_words(sentence) else ""
        start = end.end()
        if says_something(sentence):
            yield sentence + kept
    if says_something(text[start:]):
        yield text[start:].strip()


def read(prose: Prose, *, closing: bool, anchored: bool = False) -> Read | None:
    """Return the answer that a sentence states, None if there is none.

    Args:
        prose: the sentence, with its formulas replaced by characters.
        closing: whether the sentence ends the text, so that its value may follow other words.
        anchored: whether the sentence continues ``the answer is``, so that it begins with the answer.
    """
    prose = Prose(without_lead_in(_EQUALS.sub(" = ", prose.text)), prose.formulas)
    text = prose.text
    if not text or wording.NEGATED.match(text):
        return None
    choice = _choice(prose, loosely=anchored or wording.A_CHOICE.search(text) is not None)
    found = runs(text)
    if choice is None and found and not has_words(text):
        said = value(prose, found[0]) if len(found) == 1 else result(prose.restore(text))
        return Read(said, is_value=True) if said else None
    named = wording.IS_THE_ANSWER.search(text) if closing and found and not anchored else None
    if choice is None and named:
        return read(Prose(text[: named.start()], prose.formulas), closing=True, anchored=True)
    return choice or _among_words(prose, found, closing=closing, anchored=anchored)


def _among_words(prose: Prose, found: list[MathSpan], *, closing: bool, anchored: bool) -> Read | None:
    values = [run for run in found if run.has_value]
    if found and found[0].start <= _opening(prose.text) and (anchored or values == found[:1]):
        return _value(prose, found, 0)
    if not values:
        return _words(prose, anchored=anchored) if anchored or closing else None
    return _in_prose(prose, values) if closing else None


def without_lead_in(text: str) -> str:
    """Remove the words that introduce an answer."""
    for _ in range(12):
        lead_in = wording.LEAD_IN.match(text)
        if lead_in is None or not lead_in.group() or lead_in.end() == len(text):
            break
        text = text[lead_in.end() :]
    return text.strip()


def _in_prose(prose: Prose, values: list[MathSpan]) -> Read | None:
    """Return the value at the end of a sentence: after its last form of *be* or similar, or its last expression."""
    text = prose.text
    copula = _last(wording.COPULA, text)
    if copula is not None and copula.end() < len(text):
        complement = Prose(without_lead_in(text[copula.end() :]), prose.formulas)
        behind = runs(complement.text)
        if values[-1].end <= copula.start() and not wording.PARTICIPLE.match(complement.text):
            return _words(complement, anchored=True)
        if (
            behind
            and behind[0].has_value
            and behind[0].start <= _opening(complement.text)
            and not _hedged(text, values)
        ):
            return _value(complement, behind, 0)
    last = values[-1]
    before, after = text[: last.start], text[last.end :]
    if len(re.findall(r"[^\W\d_]+", after)) > _BEHIND or wording.CHANGED.search(before):
        return None
    if wording.CONDITION.search(before) and _WITH_RELATION.search(prose.restore(last.text)):
        return None
    return _value(prose, values, len(values) - 1)


def _value(prose: Prose, found: list[MathSpan], index: int) -> Read | None:
    """Return the value of a run, joined with adjacent runs of the same quantity (``3 hours and 20 minutes``)."""
    if _hedged(prose.text, found):
        return None
    first = last = index
    while last + 1 < len(found) and _one_quantity(prose.text, found[last], found[last + 1]):
        last += 1
    while first > 0 and _one_quantity(prose.text, found[first - 1], found[first]):
        first -= 1
    if first < last:
        whole = prose.text[found[first].start : found[last].end + len(unit_behind(prose.text, found[last]))]
        return Read(prose.restore(whole), is_value=False)
    content = value(prose, found[index])
    return None if content is None else Read(content, is_value=True)


def _one_quantity(text: str, one: MathSpan, other: MathSpan) -> bool:
    unit = unit_behind(text, one)
    return bool(unit.strip()) and _COMPOUND.fullmatch(text, one.end + len(unit), other.start) is not None


def _hedged(text: str, found: list[MathSpan]) -> bool:
    """True if a sentence offers several values to choose from, other than a list in one expression."""
    outside = list(text)
    for run in found:
        outside[run.start : run.end] = " " * (run.end - run.start)
    return sum(run.has_value for run in found) > 1 and wording.ALTERNATIVE.search("".join(outside)) is not None


def _words(prose: Prose, *, anchored: bool) -> Read | None:
    """Return a short answer in words: ``no solution``, ``Tuesday``."""
    text = prose.text.strip(" .!\"'")
    if not anchored:
        copula = _last(wording.COPULA, text)
        text = "" if copula is None else without_lead_in(text[copula.end() :])
    if not text or len(text.split()) > _FEW_WORDS or wording.NO_ANSWER.search(text):
        return None
    return Read(prose.restore(text), is_value=False)


def _choice(prose: Prose, *, loosely: bool) -> Read | None:
    """Return a choice letter, alone or with its value."""
    match = wording.CHOICE.match(prose.text)
    if match is None or (match["open"] and not match["close"]):
        return None
    letter, rest = match["letter"], prose.text[match.end() :]
    if wording.MORE_CHOICES.match(rest):
        return None
    if not match["close"]:
        alone = not rest.strip() or (loosely and wording.AFTER_CHOICE.match(rest))
        return Read(letter, is_value=True) if alone else None
    behind = Prose(without_lead_in(rest), prose.formulas)
    found = runs(behind.text)
    if found and found[0].start <= _opening(behind.text) and found[0].has_value:
        said = value(behind, found[0])
        return Read(f"({letter}) {said}" if said else letter, is_value=True)
    return Read(letter, is_value=True) if loosely or not rest.strip() or not match["open"] else None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return max(pattern.finditer(text), key=lambda match: match.start(), default=None)


def _opening(text: str) -> int:
    """Count the quotes, spaces and dollar signs at the start."""
    return len(text) - len(text.lstrip(" \t\"'\\$"))
