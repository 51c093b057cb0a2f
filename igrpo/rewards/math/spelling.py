r"""A rule that rewrites one notation to another, and the replacements that need more than a template."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from igrpo.rewards.math.spellings import COMMANDS, CURRENCIES, DROPPED, SPACES, TEXT

COMMAND = re.compile(r"\\([a-zA-Z]+)\*?|\\([!,;:> ~$\\])|~|\$")
_GLUED = re.compile(r"(arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|ln|log|pi)(?!h)([a-zA-Z])")  # `\cotx`


@dataclass(frozen=True, slots=True)
class Spelling:
    """Rule that rewrites one notation to another.

    Attributes:
        name: name of the rule.
        pattern: the text to replace.
        replacement: its replacement.
        example: a text and its normal form (after all rules).
    """

    name: str
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]
    example: tuple[str, str]


def spelling(
    name: str, pattern: str, replacement: str | Callable[[re.Match[str]], str], before: str, after: str
) -> Spelling:
    """Return a rule, given the example as the text before and after all rules."""
    return Spelling(name, re.compile(pattern, re.DOTALL), replacement, (before, after))


def money(match: re.Match[str]) -> str:
    """Write an amount of money as a number with a unit."""
    mark = match["mark"] or match["behind"] or "$"
    sign = "-" if "-" in ((match["sign"] or "") + (match["minus"] or "")) else ""
    currency = CURRENCIES[mark.removeprefix("US").strip("\\ .")]
    return rf"{sign}{match['amount'] or match['before']}\text{{{currency}}}"


def one_spelling(match: re.Match[str]) -> str:
    """Write a command in its normal form; leave out layout."""
    name, symbol = match.groups()
    if name is None:
        return {"\\": r"\\", "!": "", "$": ""}.get(symbol or match.group(), " ")
    if name in TEXT:
        return r"\text"
    if name in DROPPED:
        return ""
    if (glued := _GLUED.fullmatch(name)) is not None:
        return rf"\{glued[1]} {glued[2]}"
    return " " if name in SPACES else COMMANDS.get(name, rf"\{name}") + ("" if name in ("lt", "gt") else " ")


def letters(match: re.Match[str]) -> str:
    """Return the content of a bold group, unless it is a word."""
    body = match["body"]
    return match.group() if re.search(r"(?<!\\)\b[A-Za-z]{2,}", body) else f" {body}"


def bare_powers(match: re.Match[str]) -> str:
    """Leave out the braces of exponents within ``\\text``."""
    return match.group().replace("{", "").replace("}", "").replace("\\text", "\\text{", 1) + "}"


def rows(match: re.Match[str]) -> str:
    """Convert the rows of a layout environment to a list; leave a definition by cases unchanged."""
    body = match["body"]
    if match["name"].startswith("cases") and re.search(r"&(?!\s*(?:[=<>]|\\[lg]eq?\b))", body):
        return match.group()
    rows = [row.replace("&", "").strip().strip(",;") for row in re.split(r"\\\\", body)]
    joined = ", ".join(filter(None, rows))
    return re.sub(r",\s*(?=[=<>]|\\[lg]eq?\b)", " ", joined)
