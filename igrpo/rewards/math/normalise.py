r"""Normal form of answers that differ only in typography: unicode, spacing, ``\dfrac``, layout environments.

``normalise`` never changes the meaning of an answer: two answers with the same normal form are the same answer. Rules
about meaning (units, numbers, lists, relations) are in ``quantities``, ``numbers`` and ``equivalence``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from igrpo.rewards.math.spelling_rules import PLAIN_RULES, RULES
from igrpo.rewards.math.spellings import UNICODE
from igrpo.rewards.math.structure import encloses

_UNICODE_TABLE = str.maketrans(UNICODE)
_SUPERSCRIPT_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPT_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[a-zA-Z]|\\pi))")
_NESTED_ROOT = re.compile(r"([∛∜])\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[a-zA-Z]))")

_TEXT = re.compile(r"(\\text ?\{[^{}]*\})")
_JOINED = re.compile(r"\\text ?\{\s*,?\s*(and|or)\s*,?\s*\}")
_PLAIN_JOINED = re.compile(r"(?<![A-Za-z\\{])\s*\b(and|or)(?![A-Za-z])\s*")
_INEQUALITY = re.compile(r"[<>]|\\[lg]eq|\\neq")
_RELATION = re.compile(r"[=<>]|\\(?:[lg]eq|neq|in)(?![a-zA-Z])")
_LOGICAL = re.compile(r"\\(lor|land)(?![a-zA-Z])")
_PLAIN_INTEGER = re.compile(r"[-+]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)")
_TIGHT = re.compile(r"\s*([^\w\s\\'\",]|\\[{}|%])\s*")
_COMMA = re.compile(r"\s*,(?:\s*,)*\s*")
_NUMBERS_COMMA = re.compile(r"(?<=[0-9])\s*,\s+(?=[0-9]{3}(?![0-9]))")  # `32, 349` is a list, `32,349` a number
_TIGHT_COMMAND = re.compile(r"\s+(?=\\[a-zA-Z])|(\\[a-zA-Z]+)\s+(?![a-zA-Z])")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,/] )(?<![\d.,/])[1-9]\d{0,2}(?: \d{3})+(?![\d/])(?! \d)")


def plain_integer(text: str) -> str | None:
    """Return canonical digits if the text is an integer (thousands separators allowed), else None."""
    if not _PLAIN_INTEGER.fullmatch(text):
        return None
    digits = text.lstrip("+-").replace(",", "").lstrip("0") or "0"
    return f"-{digits}" if text[0] == "-" and digits != "0" else digits


@lru_cache(maxsize=4096)
def normalise(answer: str) -> str:
    """Return the normal form of an answer: ASCII LaTeX without decoration. Idempotent; never raises."""
    text = answer.strip()
    integer = plain_integer(text)
    if integer is not None:
        return integer
    text = _ascii(text)
    for rule in RULES:
        text = rule.pattern.sub(rule.replacement, text)
    # `x<1 or x>3` is not `x<1 and x>3`; in a list of values both are commas.
    if _RELATION.search(text):
        text = _LOGICAL.sub(lambda match: r"\text{or}" if match[1] == "lor" else r"\text{and}", text)
    joint = r" \text{{{}}} " if _INEQUALITY.search(text) else " , "
    text = _JOINED.sub(lambda match: joint.format(match[1]), text)
    text = "".join(part if part.startswith("\\text") else _plain(part, joint) for part in _TEXT.split(text))
    text = _tidy(text)
    return plain_integer(text) or text


def _plain(part: str, joint: str) -> str:
    for rule in PLAIN_RULES:
        part = rule.pattern.sub(rule.replacement, part)
    return _PLAIN_JOINED.sub(lambda match: joint.format(match[1]), part)


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    text = _SUPERSCRIPTS.sub(lambda match: f"^{{{match.group().translate(_SUPERSCRIPT_DIGITS)}}}", text)
    text = _NESTED_ROOT.sub(lambda match: rf"\sqrt[{'34'[match[1] == '∜']}]{{{match[2] or match[3]}}}", text)
    text = _SUBSCRIPTS.sub(lambda match: f"_{{{match.group().translate(_SUBSCRIPT_DIGITS)}}}", text)
    text = _VULGAR.sub(lambda match: " " + unicodedata.normalize("NFKC", match.group()).replace("⁄", "/"), text)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match.group(1) or match.group(2)}}}", text)
    return unicodedata.normalize("NFKC", text.translate(_UNICODE_TABLE))


def _tidy(text: str) -> str:
    """Remove insignificant spaces, final punctuation, and quotes or redundant brackets around the whole answer."""
    text = " ".join(text.split())
    text = _COMMA.sub(",", _NUMBERS_COMMA.sub("\0", text)).replace("\0", ", ")
    text = _TIGHT_COMMAND.sub(lambda match: match[1] or "", _TIGHT.sub(r"\1", text))
    before = None
    while before != text:
        before = text
        text = text.strip(" ").rstrip(".,;:").strip(" ")
        text = text.rstrip("\\")
        text = text.removeprefix("=").removeprefix("+") if len(text) > 1 else text
        if text[:1] == text[-1:] and text[:1] in ("'", '"') and text.count(text[:1]) == 2:
            text = text[1:-1]
        if text.startswith("{") and encloses(text, 0):
            text = text[1:-1]
        while text.startswith("((") and text.endswith("))") and encloses(text, 0) and encloses(text[1:-1], 0):
            text = text[1:-1]
    return _SPACED_THOUSANDS.sub(lambda match: match.group().replace(" ", ""), text)
