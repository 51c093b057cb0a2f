r"""Extraction of expressions from prose, such as ``so she has 1,250 apples left`` or ``The roots are 1, 2, and 3``.

All texts here are short, since the caller truncates them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from igrpo.rewards.math.formulas import FIRST_ATOM, Prose

_INTEGER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[1-9][0-9]{0,2}(?: [0-9]{3})+(?! ?[0-9])|[0-9]+)"
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ₀₁₂₃₄₅₆₇₈₉₊₋½¼¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_TOKEN = re.compile(
    rf"(?P<math>[\U000F0000-\U000FFFFD]"
    rf"|(?:{_MONTHS}) [0-9]{{1,2}}(?:,? [0-9]{{4}})?"
    rf"|[0-9]+(?::[0-9]+)+(?: ?(?i:[ap]\.?m)\b\.?)?|(?:{_INTEGER})(?:\.[0-9]+)?|\.[0-9]+"
    r"|\\(?:text\w*|mathrm|mathbf|mbox|operatorname)\s*\{[^{}]*\}|\\[a-zA-Z]+|\\[{}%$,;!\ |]"
    r"|(?:sqrt|cbrt|pi|sin|cos|tan|cot|csc|arcsin|arccos|arctan|ln|log|exp|inf|infty|infinity)(?![A-Za-z])"
    rf"|[{_SUPERSCRIPTS}]|[-+*/^=<>≤≥≠≈±∓×·⋅÷√∛∞°℃%!|()\[\]{{}}_~&∈∪∩∅∠∀$€£¥₹])"
    r"|(?P<word>(?:[A-Za-zÀ-ɏ]{2,}|(?:a|A|I)(?= [a-z]{2}))(?:[0-9A-Za-zÀ-ɏ_]|['-](?=[A-Za-z]))*"
    rf"|[^\W\d_A-Za-zÀ-ɏα-ωΑ-Ω{_SUPERSCRIPTS}]+)"
    rf"|(?P<letter>[A-Za-zα-ωΑ-Ω]'*)|(?P<joint>[,;])|(?P<space>\s+)|(?P<other>.)",
    re.DOTALL,
)
_JOINING = frozenset(("and", "or", "und", "et", "y", "和", "或"))
_SEPARATORS = r"^[\s,;:=+*/^)\]}!&~°]+(?=.)|[\s,;+\-*/^=(<>\[{&~]+$"
_BARE = re.compile(rf"{_SEPARATORS}|^-\s+")  # `profit - 5`: a dash
_BARE_AFTER_SIGN = re.compile(_SEPARATORS)  # `is - 5`: a minus
_BEFORE_MINUS = re.compile(r"(?:\b(?:is|are|equals|be|was|to)|[:=(,是为])\s*$", re.IGNORECASE)
_CONNECTS = re.compile(r"[+*/^]|-$")
_VALUE = re.compile(r"[0-9\\π∞√∅]|[\U000F0000-\U000FFFFD]|[A-Za-zα-ω)]\s*[-+*/^=<>≤≥≠]\s*[(A-Za-zα-ω]")
_CLOSERS = {")": "([", "]": "([", "}": "{"}

_UNIT = re.compile(
    r"\s?(?P<words>[A-Za-z°µΩ][A-Za-zµΩ.]*(?:(?:\s|\s?/\s?|-)[A-Za-z]+){0,3})(?P<power>\s?\^\s?\{?[23]\}?|[²³])?"
)
#: Words that end the name of the counted thing: `5 apples | are left`, `72 | in total`.
_NOT_COUNTED = re.compile(
    r"is|are|was|were|be|been|in|of|for|from|to|that|which|who|so|and|or|because|since|as|at|on|by|with|total|altogether"
    r"|left|remaining|after|before|each|every|when|if|then|than|has|have|had|will|would|can|do|does|did|it|he|she|they"
    r"|we|you|i|this|these|there|the|an?|overall|respectively|only|too|also|not|but|while|where|until|now|again|more"
    r"|correct|right|per",
    re.IGNORECASE,
)
#: Words that change the value of the number before them.
_GOES_ON = re.compile(
    r"\s*(?:(?:more|less|fewer|greater|smaller|larger|higher|lower|or more|or less|or fewer)\s+than\b|times\s+(?:as"
    r"|the|that|\d)"
    r"|plus|minus|divided|multiplied|squared|cubed|factorial|out of|choose|to the power|or (?:more|less|fewer"
    r"|greater))\b",
    re.IGNORECASE,
)
_LETTER_UNIT = re.compile(r"(?<=[0-9]) ([mgshLJNWVKCF])$")
_PERCENT = re.compile(r"\s?(?:percent|pct|per cent|percentage points?)\b", re.IGNORECASE)
_RELATION = re.compile(r"(?<![<>!:=])=(?![=<>])")
_COMPUTED = re.compile(
    r"(?:[-0-9.,\s+*/^×÷·⋅()\[\]{}$%!√°²³]|\\(?:times|cdot|div|[dt]?frac|sqrt|left|right|[,!;: $%]))+"
)
_NEXT_STEP = re.compile(r"[,;]?\s+(?:and|so|then)\s+|[,;]\s+")
_OPERATOR = re.compile(r"[0-9)}]\s*(?:[-+*/^×÷·⋅!²³(]|\\(?:times|cdot|div))|\\[dt]?frac|\\sqrt|√")


@dataclass(frozen=True, slots=True)
class MathSpan:
    """Part of a text that is mathematics: an expression, a relation or a list of these."""

    start: int
    end: int
    text: str
    partial: bool = False  # an operator connects it to a word

    @property
    def has_value(self) -> bool:
        """True if the part contains more than a bare letter or sign."""
        return _VALUE.search(self.text) is not None


def runs(text: str) -> list[MathSpan]:
    """Return the mathematical parts of a text, in order; a list (``1, 2, and 3``) is one part."""
    found: list[MathSpan] = []
    free = 0  # a unit (`cm^2`, `km/h`) belongs to the number before it
    for start, end in _stretches(text):
        run = _trimmed(text, max(start, free), end)
        if run is not None:
            found.append(run)
            unit = _UNIT.match(text, run.end) if run.text[-1].isdigit() else None
            free = unit.end() if unit and (unit["power"] or "/" in unit["words"]) else run.end
    return found


def has_words(text: str) -> bool:
    """True if a text contains words."""
    return any(token["word"] and token.group() not in _JOINING for token in _TOKEN.finditer(text))


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    start, end, joining = -1, -1, True
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        glued = kind == "word" and end == token.start() > 0 and text[end - 1].isdigit() and token.group().isascii()
        if kind in ("math", "letter") or glued:
            if start < 0:
                start = token.start()
            end, joining = token.end(), True
        elif kind == "space" or (kind == "joint" and joining) or token.group().lower() in _JOINING:
            continue
        elif start >= 0:
            yield start, end
            start = -1
    if start >= 0:
        yield start, end


def _trimmed(text: str, start: int, end: int) -> MathSpan | None:
    """Strip separators at both ends, and unmatched brackets."""
    first_start, last_end = start, end
    is_minus = not text[:start].strip() or _BEFORE_MINUS.search(text[max(0, start - 12) : start]) is not None
    while start < end:
        part = text[start:end]
        bare = (_BARE_AFTER_SIGN if is_minus else _BARE).search(part)
        if bare:
            start, end = (start + bare.end(), end) if bare.start() == 0 else (start, start + bare.start())
            continue
        closed, opened = _unpaired(part)
        if closed == len(part) - 1 or opened == 0:
            start, end = start + (opened == 0), end - (closed == len(part) - 1)
        elif closed is not None:
            start += closed + 1
        elif opened is not None:
            end = start + opened
        elif part.count("|") % 2 and "|" in (part[0], part[-1]):
            start, end = (start + 1, end) if part[0] == "|" else (start, end - 1)
        else:
            goes_on = _CONNECTS.search(text[end:last_end]) or (
                _CONNECTS.search(text[first_start:start]) and text[:first_start].rstrip()[-1:].isalnum()
            )
            return MathSpan(start, end, part, partial=goes_on is not None and goes_on is not False)
    return None


def _unpaired(part: str) -> tuple[int | None, int | None]:
    """Return the positions of the first unmatched closing bracket and the last unmatched opening bracket."""
    opened: list[int] = []
    first = None
    for i, sign in enumerate(part):
        if i and part[i - 1] == "\\":
            continue
        if sign in "([{":
            opened.append(i)
        elif sign in ")]}":
            if opened and part[opened[-1]] in _CLOSERS[sign]:
                opened.pop()
            elif first is None:
                first = i
    return first, (opened[-1] if opened else None)


def value(prose: Prose, run: MathSpan) -> str | None:
    """Return the value of a run with the unit after it; None if the words after it change the value."""
    rest = prose.text[run.end :]
    if run.partial or _GOES_ON.match(rest):
        return None
    said = result(prose.restore(run.text))
    if _LETTER_UNIT.search(run.text):
        return _LETTER_UNIT.sub(r" \\text{ \1}", said)
    if not (run.text[-1].isdigit() or ord(run.text[-1]) >= FIRST_ATOM or run.text[-1] in "π)"):
        return said
    if _PERCENT.match(rest):
        return said + r"\%"
    unit = unit_behind(prose.text, run).strip(" ./-")
    name = unit.rstrip("^{}23²³ ")
    return rf"{said} \text{{ {name}}}{unit[len(name) :]}" if name and re.search(r"[0-9}π)]$", said) else said


def unit_behind(text: str, run: MathSpan) -> str:
    """Return the unit, or the name of the counted thing, after a run; empty if there is none."""
    unit = _UNIT.match(text, run.end)
    if unit is None:
        return ""
    counted: list[str] = []
    for word in re.split(r"(\s?/\s?|\s|-)", unit["words"]):
        if _NOT_COUNTED.fullmatch(word.strip(".")):
            return "".join(counted)
        counted.append(word)
    return unit.group()


def result(said: str) -> str:
    """Return the last value of a chain if a computation precedes it (``2 + 3 = 5``), else the whole chain."""
    *before, last_one = _NEXT_STEP.split(said)
    if before and all(result(one) != one for one in (*before, last_one)):
        return result(last_one)
    signs = list(_RELATION.finditer(said))
    if not signs:
        return said
    step = said[signs[-2].end() if len(signs) > 1 else 0 : signs[-1].start()].strip()
    last = said[signs[-1].end() :].strip()
    if last and ", " not in said and _COMPUTED.fullmatch(step) and _OPERATOR.search(step):
        return last
    return said
