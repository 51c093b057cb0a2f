r"""The option that a statement such as ``C``, ``(c)``, ``\text{C) 5 m/s}`` or ``5 m/s`` names.

A statement names an option by its letter, by its text, or by both. One that names several options, that denies one, or
whose letter and text contradict each other names none: a model cannot hedge. Every function takes time linear in the
length of the text, and none raises.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from igrpo.data.options import LETTERS
from igrpo.data.problem_text import problem_tokens, same_text

#: Longer statements name no option; a shorter one may hold the text of an option.
LONGEST: Final = 2000

_COMMAND: Final = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|sf|it|tt)|operatorname\*?|f?boxed|fbox|mbox|boldsymbol|bm|underline"
    r"|left|right|[dt]?quad|qquad|bf|rm)(?![a-zA-Z])"
)
_LAYOUT: Final = re.compile(r"</?[a-zA-Z]{1,10}\s?/?>|\\[()\[\],;:! ]|[*_`${}~]|\\(?=[A-Za-z](?![A-Za-z]))")
_NOUN: Final = re.compile(
    r"(?:(?:the|my|final|correct|right|best|answer|option|choice|letter|is|be|must|should|would|thus|so|hence|therefore)"
    r"(?![a-z])[\s,:=]*)+",
    re.IGNORECASE,
)
_LETTER: Final = re.compile(r"[(\[]?\s?([A-Za-z])(?![\w'’])\s?([)\]]?)\s?([.:,;)=/|&+–—-]?)")
_VERDICT: Final = re.compile(r"\s?(?:is|are|was|because|since|as|due|for)(?![a-z])", re.IGNORECASE)
_OTHER: Final = re.compile(r"(?<![\w'’])(?:[A-Zb-z]|or|and|either|neither|nor|not|both)(?![\w'’])")


def named_option(statement: str, options: Sequence[str], *, strict: bool = False) -> str | None:
    """Return the letter of the option that a statement names; None if it names none or several.

    Args:
        statement: the statement alone, in words or LaTeX.
        options: texts of the options in the order of their letters; if they are not known, every letter counts.
        strict: the statement was not marked as an answer: only the text of its option, or ``is correct``, may follow a
            letter.
    """
    if len(statement) > LONGEST:
        return None
    whole = _plain(statement)
    by_text = _by_text(whole, options)
    noun = _NOUN.match(whole)
    found = _LETTER.match(whole, noun.end() if noun is not None else 0)
    if by_text is not None and (found is None or found.end() < len(whole)):
        return by_text
    if found is None or found[1].upper() not in (LETTERS[: len(options)] if options else LETTERS):
        return by_text if noun is None else _by_text(whole[noun.end() :], options)
    letter, rest = found[1].upper(), whole[found.end() :].strip(" .:,;")
    if found[1].islower() and (rest or any(option.strip() == found[1] for option in options)):
        return by_text
    if not rest:
        return letter if found[3] not in tuple("=/|&+") else None
    return letter if _is_consistent(letter, rest, options, closed=bool(found[2] or found[3]), strict=strict) else None


def _is_consistent(letter: str, rest: str, options: Sequence[str], *, closed: bool, strict: bool) -> bool:
    """True if what follows the letter repeats its option, or says nothing about another one."""
    own = _plain(options[LETTERS.index(letter)]) if options else None
    if own is not None and rest.casefold().startswith(own.casefold()):
        return _OTHER.search(rest[len(own) :]) is None
    by_text = _by_text(rest, options)
    if by_text is not None:
        return by_text == letter
    is_verdict = _VERDICT.match(rest) is not None
    if strict and not re.match(r"is (?:the )?(?:correct|right|best|answer)(?![a-z])", rest):
        return False
    return (closed or is_verdict) and _OTHER.search(rest) is None


def _by_text(statement: str, options: Sequence[str]) -> str | None:
    """Return the letter of the only option with this text; spelling counts first, then only words and numbers."""
    for key in (str, _key):
        wanted = key(statement.strip())
        same = [letter for letter, option in zip(LETTERS, options, strict=False) if key(_plain(option)) == wanted]
        if wanted and len(same) == 1:
            return same[0]
    return None


def _key(text: str) -> str:
    return same_text(problem_tokens(text))


def _plain(text: str) -> str:
    """Remove layout: text commands of LaTeX, dollars and braces, marks of Markdown and HTML, invisible characters."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Cc") or char in "\n\t")
    return " ".join(_LAYOUT.sub("", _COMMAND.sub(" ", text)).split())
