r"""Extraction of ``\boxed{...}`` answers. Every function's cost is linear in the length of the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_COMMAND = r"(?:\\{1,4}(?:f?boxed|fbox|framebox)|\x08oxed|(?<![A-Za-z\\])boxed)"  # "\b" may have become a backspace
_TOKEN = re.compile(
    rf"(?P<box>{_COMMAND}\s*\{{)"
    r"|\\{1,4}f?boxed(?P<bare>[0-9]+(?:[.,/][0-9]+)*|\s+(?:[0-9]+(?:[.,/][0-9]+)*|[A-Za-z](?![A-Za-z])))"
    r"|\\[a-zA-Z]+|\\.|[{}]",
    re.DOTALL,
)
#: Box used as a placeholder, as in "put your final answer within \boxed{}".
_PLACEHOLDER = re.compile(
    r"(?:[\s.?_…-]|\\[lc]?dots|\\square|\\text\s*\{[\s.?_…]*\}"
    r"|\\?(?:text\s*\{)?\s*(?:your |the |final |my )*answer(?: here)?\s*\}?)*",
    re.IGNORECASE,
)

_MAX_PARTS = 64
_MAX_BETWEEN = 100
#: Text allowed between two parts of one answer: separators, words, labels of parts, `name =`.
_JOINT = re.compile(
    r"(?>\s|\\(?:quad|qquad|text|textbf|mathrm|textrm|vee|lor|land)(?![a-zA-Z])|\\[,;:!()\[\] ]|[$,;.:/|&{}*<>\\]"
    r"|\(?(?:[a-h]|[1-9]|i{1,3}|iv|v)[).]|[A-Za-z]\w*(?:\([a-z]\))?\s*=|[A-Za-z'’]++)*+",
    re.DOTALL,
)
#: Words that begin a new statement, so that the next box replaces the one before.
_NEW_STATEMENT = re.compile(
    r"\b(?:no|not|nope|wait|but|sorry|oops|hmm+|hold|actually|instead|correction|corrected|correcting|mistake"
    r"|wrong|incorrect|error|should|however|recheck|check|checking|verify|let|scratch|revis\w*|updat\w*"
    r"|so|thus|then|hence|therefore|next|now|first|finally|final|since|because|gives?|giving|yields?|implies"
    r"|means|simplif\w*|becomes?|substitut\w*|equals?|which|answers?|solution|result|conclu\w*)\b",
    re.IGNORECASE,
)
_NEW_SENTENCE = re.compile(r"[.!?:]\s+(?:\\?[A-Za-z])")
#: Words for open alternatives: boxes in sentences with these words are parts of one answer.
_CHOICES = re.compile(
    r"\b(?:or|either|others?|another|also|both|options?|possib\w*|candidates?|alternativ\w*|may(?:be)?|might|could"
    r"|perhaps)\b",
    re.I,
)
_BARE_SEPARATORS = re.compile(r"(?:[\s$,;.]|\\[()\[\]]|\(?(?:[a-h]|[1-9]|i{1,3}|iv|v)[).])*")


@dataclass(frozen=True, slots=True)
class Span:
    """Position in a text, and the answer stated there."""

    start: int
    end: int
    content: str


def boxes(text: str) -> list[Span]:
    r"""Return every complete outermost ``\boxed{...}`` or ``\fbox{...}``, in order, without empty ones."""
    found: list[Span] = []
    open_braces: list[tuple[int, int] | None] = []  # start of a box and of its content; None for another brace
    for token in _TOKEN.finditer(text) if "box" in text or "\boxed" in text else ():
        mark = token.group()
        if token["box"]:
            open_braces.append((token.start(), token.end()))
        elif token["bare"]:
            found.append(Span(token.start(), token.end(), token["bare"].strip()))
        elif mark == "{":
            open_braces.append(None)
        elif mark == "}" and open_braces:
            box = open_braces.pop()
            if box is not None:
                while found and found[-1].start > box[0]:
                    found.pop()
                found.append(Span(box[0], token.end(), text[box[1] : token.start()]))
    return [box for box in found if not (len(box.content) < _MAX_BETWEEN and _PLACEHOLDER.fullmatch(box.content))]


def last_answer(text: str, stated: Sequence[Span]) -> Span | None:
    """Return the last statement, joined with adjacent statements before it, which count as parts of one answer.

    ``1 and 2`` is one answer with two parts, so that a model cannot hedge. In ``7, no, 8`` the 8 replaces the 7.
    """
    parts: list[Span] = []
    for one in reversed(stated[-_MAX_PARTS:]):
        if parts and not _joined(text[one.end : parts[0].start]):
            break
        parts.insert(0, one)
    if not parts:
        return None
    contents = dict.fromkeys(part.content for part in parts)
    return Span(parts[0].start, parts[-1].end, ", ".join(contents))


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed`` or ``\fbox``, joined with adjacent boxes before it."""
    answer = last_answer(text, boxes(text))
    return None if answer is None else answer.content


def _joined(between: str) -> bool:
    if len(between) > _MAX_BETWEEN:
        return False
    if re.search(r"\n\s*\n", between):
        return _BARE_SEPARATORS.fullmatch(between) is not None
    if _NEW_STATEMENT.search(between) or (_NEW_SENTENCE.search(between) and not _CHOICES.search(between)):
        return False
    return _JOINT.fullmatch(between) is not None
