"""Conversion of a completion to plain text without markdown, emoji or code. LaTeX and powers (``2**10``) are kept.

Every function takes time linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
#: Replacements of characters; full-width forms and digits of other scripts need no entry.
_PLAIN = {
    "。": ". ", "、": ", ", "−": "-", "–": "-", "‐": "-", "‑": "-", "﹣": "-", "“": '"', "”": '"', "„": '"', "«": '"',
    "»": '"', "‘": "'", "’": "'", "【": "[", "】": "]", "「": '"', "」": '"', "∎": "", "⃣": "", "…": "...",
}  # fmt: skip
_KEPT_SYMBOLS = "°℃℉"
_WIDE = re.compile("[\uff01-\uff5e\U0001d400-\U0001d7ff\u3000]")

_FENCE = re.compile(r"[ \t>]*(?:```+|~~~+)[ \t]*([\w+-]*)[^`\n]*")
#: Languages of code fences that contain text. Any other fence contains a program or its output.
_TEXT_LANGUAGES = frozenset(("", "text", "txt", "plain", "plaintext", "latex", "tex", "math", "markdown", "md", "json"))

_RULE = re.compile(r"[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|={3,})")
_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]+(?=\S)")
_LINE_START = re.compile(r"[ \t]*(?:>[ \t]?)*(?:[-*•‣▪●][ \t]+(?=\S))?")
#: End of a line whose formula continues on the next line, where a leading ``-`` is then a minus.
_FORMULA_GOES_ON = re.compile(r"(?:[{(\[=<>+*/,&^_]|\\\\|\$\$|\\begin\{\w+\*?\})\s*$")
_STARS = re.compile(r"\*{2,3}")
_LEFT_OPERAND = re.compile(r"[\w)\]}]")
_RIGHT_OPERAND = re.compile(r"[\w(\\{]|-\d")
_ITALICS = re.compile(r"(?<![\w)\]}*\\])\*(?=[^\s*])([^*\n]*?)(?<=[^\s*])\*(?![\w*(\\])")
_UNDERLINED = re.compile(r"(?<![\w\\}^)])(_{1,2})(?=[^\s_{])([^_\n]*?)(?<=[^\s_\\])\1(?![\w{])")
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")
_STRUCK = re.compile(r"(?<![\w)}\\$~])~~(?=[^\s~])[^~\n]*(?<=\S)~~(?![\w(\\$~])")  # `a~~b` is LaTeX


class MarkdownRule(NamedTuple):
    """Rewriting step, with an example of a text before and after."""

    name: str
    rewrite: Callable[[str], str]
    example: tuple[str, str]


def plain(text: str) -> str:
    """Remove the formatting from a text by applying all rules."""
    for rule in RULES:
        text = rule.rewrite(text)
    return text


def one_alphabet(text: str) -> str:
    """Convert full-width forms, styled letters and other digits to ASCII; remove emoji and invisible characters."""
    if text.isascii():
        return text
    return _NOT_ASCII.sub(lambda match: _one_character(match.group()), text)


@lru_cache(maxsize=4096)
def _one_character(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if _WIDE.match(character):
        return unicodedata.normalize("NFKC", character)
    if category in ("Zs", "Zl", "Zp"):
        return " " if category == "Zs" else "\n"
    if category in ("Cf", "Co", "Cn", "Cs", "Cc") or "\ufe00" <= character <= "\ufe0f":
        return ""
    return "" if category in ("So", "Sk") and character not in _KEPT_SYMBOLS else character


def without_code(text: str) -> str:
    """Remove code fences, and their content unless it is text."""
    if "```" not in text and "~~~" not in text:
        return text
    kept: list[str] = []
    inside: str | None = None
    for line in text.split("\n"):
        fence = _FENCE.fullmatch(line)
        if fence:
            inside = None if inside is not None else fence[1].lower()
        elif inside is None or inside in _TEXT_LANGUAGES:
            kept.append(line)
    return "\n".join(kept)


def without_emphasis(text: str) -> str:
    """Remove marks of ``**bold**``, ``*italics*``, ``__underline__`` and code, and all ``~~struck out~~`` text."""
    if "~~" in text:
        text = _STRUCK.sub("", text)
    text = text.replace("`", "")
    if "*" in text:
        text = "\n".join(_without_stars(line) if "*" in line else line for line in text.split("\n"))
    return _UNDERLINED.sub(r"\2", text) if "_" in text else text


def _without_stars(line: str) -> str:
    stars = list(_STARS.finditer(line))
    last_closing = max(
        (one.start() for one in stars if one.start() and not line[one.start() - 1].isspace()), default=-1
    )
    kept, end, is_open = [], 0, False
    for one in stars:
        power = _is_power(line, one) and (not is_open or one.start() < last_closing)
        kept.append(line[end : one.end() if power else one.start()])
        end = one.end()
        is_open = is_open if power else not is_open
    return _ITALICS.sub(r"\1", "".join([*kept, line[end:]]))


def _is_power(line: str, stars: re.Match[str]) -> bool:
    """True if there are operands on both sides, as in ``2**10`` and ``x ** 2``."""
    start, end = stars.span()
    if line[start - 1 : start] == " " and line[end : end + 1] == " ":
        start, end = start - 1, end + 1
    return stars.group() == "**" and bool(
        _LEFT_OPERAND.match(line, max(0, start - 1)) and _RIGHT_OPERAND.match(line, end)
    )


def without_line_marks(text: str) -> str:
    """Remove marks of headings, quotes, bullets and rules. ``#### 5`` is kept: it marks the answer in a data set."""
    lines = text.split("\n")
    return "\n".join(_bare_line(line, before) for line, before in zip(lines, ["", *lines], strict=False))


def _bare_line(line: str, before: str) -> str:
    if _RULE.fullmatch(line):
        return ""
    if not _FORMULA_GOES_ON.search(before[-40:]):
        start = _LINE_START.match(line)
        line = line[start.end() :] if start else line
    heading = _HEADING.match(line)
    return line[heading.end() :] if heading and heading.group().count("#") != 4 else line


def without_notes(text: str) -> str:
    """Remove calculator notes, which some data sets of word problems contain (``<<2+3=5>>``)."""
    return _CALCULATOR.sub("", text) if "<<" in text else text


RULES = (
    MarkdownRule("calculator notes", without_notes, ("2 + 3 = <<2+3=5>>5", "2 + 3 = 5")),
    MarkdownRule("one alphabet", one_alphabet, ("答案：５ ✅", "答案:5 ")),
    MarkdownRule("code fences", without_code, ("```python\n5\n```\n```\n7\n```", "7")),
    MarkdownRule("line marks", without_line_marks, ("## Result\n- 73\n---", "Result\n73\n")),
    MarkdownRule("emphasis", without_emphasis, ("**Answer:** `2**10`", "Answer: 2**10")),
)
