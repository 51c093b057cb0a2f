r"""Replacement of the formulas in prose by one character each, so that the rest can be read word by word."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Character for the first formula of a text. The following private-use characters are for the other formulas.
FIRST_ATOM = 0xF0000
_OPENING = re.compile(r"\$\$|(?<!\\)\$|(?<!\\)\\[(\[]|\\begin\{(\w+\*?)\}")
_CLOSING = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
_IN_TEXT = re.compile(r"\\(?:text\w*|mathrm|mbox|operatorname)\s*\{[^{}]*\}")
_LONG_WORD = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}")
_CONTENT = re.compile(r"[0-9\\]|(?<![A-Za-z])[A-Za-z](?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Prose:
    """Text in which each delimited formula is replaced by one character."""

    text: str
    formulas: tuple[str, ...]

    def restore(self, part: str) -> str:
        """Put the formulas, without their delimiters, back into a part of the text."""
        return re.sub("[\U000f0000-\U000ffffd]", lambda match: self.formulas[ord(match.group()) - FIRST_ATOM], part)


def hold(text: str) -> Prose:
    """Replace the formulas of a text. A dollar sign that denotes money does not open a formula."""
    out: list[str] = []
    formulas: list[str] = []
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        closing = rf"\end{{{opening[1]}}}" if opening[1] else _CLOSING[opening.group()]
        inside, end = opening.end(), text.find(closing, opening.end())
        while closing == "$" and end > 0 and text[end - 1] == "\\":
            end = text.find(closing, end + 1)
        content = text[inside:end]
        if end < 0 or len(formulas) >= 4000 or (closing == "$" and not _is_formula(content, text[end + 1 : end + 2])):
            out.append(text[position:inside])
            position = inside
            continue
        after = end + len(closing)
        formulas.append(text[opening.start() : after] if opening[1] else content.strip().rstrip("."))
        full_stop = "." if content.rstrip().endswith(".") else ""  # it ends the sentence, not the formula
        out.append(text[position : opening.start()] + chr(FIRST_ATOM + len(formulas) - 1) + full_stop)
        position = after
    return Prose("".join([*out, text[position:]]), tuple(formulas))


def _is_formula(content: str, after: str) -> bool:
    """True if the text between two dollar signs is mathematics, not prose between two amounts of money."""
    if after.isdigit() or not _CONTENT.search(content):
        return False
    long_words = len(_LONG_WORD.findall(_IN_TEXT.sub("", content)))
    starts_as_money = content[:1].isdigit()
    if long_words > (0 if starts_as_money else 1):
        return False
    return not (starts_as_money and content[-1] in " +-*/=(~")
