r"""One spelling for answers that differ in typography only: unicode, spacing, ``\dfrac``, units of writing.

``normalise`` never changes what an answer says: two answers with the same normal form are the same answer. Rules on
meaning (numbers, lists, relations) live in ``numbers`` and ``equivalence``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from igrpo.rewards.math.spellings import COMMANDS, DROPPED, SPACES, TEXT, UNICODE

_UNICODE_TABLE = str.maketrans(UNICODE)
_SUPERSCRIPT_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPT_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[a-zA-Z]|\\pi))")

_COMMAND = re.compile(r"\\([a-zA-Z]+)(\*?)|\\([!,;:> ~$\\])|~|\$")
_DOLLARS = re.compile(r"\\[()\[\]]")
_THIN_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\\!\s*|\\!|\\,|\\ |\\;|\\:|~)(?:\\!\s*)?(?=\d{3}(?!\d))")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,/] )(?<![\d.,/])[1-9]\d{0,2}(?: \d{3})+(?![\d/])(?! \d)")
_BOX = re.compile(r"\\f?boxed\s*|\\fbox\s*")
_PRIME = re.compile(r"\^\s*(?:\{\s*(?:\\prime\s*)+\}|\\prime)")
_SCRIPT_DIGIT = re.compile(r"([_^])\s*([0-9])(?= [0-9])")
_FRAC_DIGITS = re.compile(r"\\frac\s*(\d)\s*(\d)")
_FRAC_MIXED_1 = re.compile(r"\\frac\s*(\d|[a-zA-Z])\s*(?=\{)")
_FRAC_MIXED_2 = re.compile(r"(\\frac\s*\{[^{}]*\})\s*(\d|[a-zA-Z])")
_SQRT_BARE = re.compile(r"\\sqrt\s*(\d|[a-zA-Z]|\\pi)")
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)(?:\s*\\text\{\s*[CFK]\s*\})?")
_ORDINAL = re.compile(r"(\d)\s*\^?\s*\{?\s*(?:\\text\s*\{\s*(?:th|st|nd|rd)\s*\}|(?:th|st|nd|rd)\b)\s*\}?")
_PERCENT = re.compile(r"\s*(?:\\text\s*\{\s*(?:percent|pct|percentage|%|\\%)\s*\}|\\?%|\b(?:percent|pct|percentage)\b)")
_PERCENT_GLUED = re.compile(r"(?<=\d)\s*(?:percent|pct)\b")
_DOTS = re.compile(r"\.\s?\.\s?\.+")
_TIGHT = re.compile(r"\s*([^\w\s\\'\",]|\\[{}|%])\s*")
_COMMA = re.compile(r"\s*,(?:\s*,)*\s*")
_NUMBERS_COMMA = re.compile(r"(?<=[0-9])\s*,\s+(?=[0-9]{3}(?![0-9]))")  # `32, 349` is a list, `32,349` a number
_AND = re.compile(r"\s*\\text\s*\{\s*,?\s*(and|or)\s*,?\s*\}\s*|(?<![A-Za-z\\{])\s*(and|or)(?![A-Za-z])\s*")
_INEQUALITY = re.compile(r"[<>]|\\[lg]eq|\\neq")
_PLAIN_COMMAND = re.compile(
    r"(?<![A-Za-z\\])(sqrt|pi|exp|sin|cos|tan|cot|csc|ln|log|arcsin|arccos|arctan|theta|alpha|beta|sec(?=[(^]))(?![A-Za-z])"
)
_PLAIN_INFINITY = re.compile(r"(?<![A-Za-z\\])(?:infinity|infty|inf)(?![A-Za-z])")
_TIGHT_COMMAND = re.compile(r"\s+(?=\\[a-zA-Z])|(\\[a-zA-Z]+)\s+(?![a-zA-Z])")
_PLAIN_INTEGER = re.compile(r"[-+]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)")
_NO_TEXT = re.compile(r"\\text\s*\{([^a-zA-Z{}]*)\}")
_PLAIN_ROOT = re.compile(r"\\sqrt ?\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_PLAIN_POWER = re.compile(r"\^ ?\(([^()]*)\)")
_LETTER_IN_TEXT = re.compile(r"(?<![\w\s}])\\text\s*\{\s*([a-zA-Z])\s*\}|\\text\s*\{\s*([ei])\s*\}")
_COMPARISONS = {"<=": r"\leq ", ">=": r"\geq ", "!=": r"\neq ", "=<": r"\leq ", "**": "^", "==": "="}
_COMPARISON = re.compile("|".join(map(re.escape, _COMPARISONS)))


def plain_integer(text: str) -> str | None:
    """Canonical digits when the text is nothing but an integer (thousands separators allowed), else None."""
    if not _PLAIN_INTEGER.fullmatch(text):
        return None
    digits = text.lstrip("+-").replace(",", "").lstrip("0") or "0"
    return f"-{digits}" if text[0] == "-" and digits != "0" else digits


@lru_cache(maxsize=4096)
def normalise(answer: str) -> str:
    """The normal form of an answer: ASCII LaTeX without decoration; idempotent."""
    text = answer.strip()
    integer = plain_integer(text)
    if integer is not None:
        return integer
    text = _THIN_THOUSANDS.sub("", _ascii(text))
    text = _DOLLARS.sub(" ", _BOX.sub("", text))
    text = _COMPARISON.sub(lambda match: _COMPARISONS[match.group()], text)
    text = _COMMAND.sub(_one_spelling, text)
    text = _DEGREE.sub("", _PERCENT_GLUED.sub(r"\\%", _PERCENT.sub(r"\\%", text)))
    text = _ORDINAL.sub(r"\1", _DOTS.sub(r"\\ldots ", text))
    text = _LETTER_IN_TEXT.sub(lambda match: match.group(1) or match.group(2), _NO_TEXT.sub(r"\1", text))
    text = _SCRIPT_DIGIT.sub(r"\1{\2}", _PRIME.sub(lambda match: "'" * match.group().count("prime"), text))
    text = _FRAC_DIGITS.sub(r"\\frac{\1}{\2}", text)
    text = _FRAC_MIXED_2.sub(r"\1{\2}", _FRAC_MIXED_1.sub(r"\\frac{\1}", text))
    text = _SQRT_BARE.sub(r"\\sqrt{\1}", text)
    text = _PLAIN_INFINITY.sub(r"\\infty ", text)
    if not text.replace(" ", "").isalpha():
        text = _PLAIN_COMMAND.sub(r"\\\1 ", text)
        text = _PLAIN_POWER.sub(r"^{\1}", _PLAIN_ROOT.sub(r"\\sqrt{\1}", text))
    # `x<1 or x>3` is not `x<1 and x>3`; in a list of values both are commas.
    related = _INEQUALITY.search(text) is not None
    text = _AND.sub(lambda match: rf" \text{{{match[1] or match[2]}}} " if related else " , ", text)
    text = _tidy(text)
    return plain_integer(text) or text


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    text = _SUPERSCRIPTS.sub(lambda match: f"^{{{match.group().translate(_SUPERSCRIPT_DIGITS)}}}", text)
    text = _SUBSCRIPTS.sub(lambda match: f"_{{{match.group().translate(_SUBSCRIPT_DIGITS)}}}", text)
    text = _VULGAR.sub(lambda match: " " + unicodedata.normalize("NFKC", match.group()).replace("⁄", "/"), text)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match.group(1) or match.group(2)}}}", text)
    return unicodedata.normalize("NFKC", text.translate(_UNICODE_TABLE))


def _one_spelling(match: re.Match[str]) -> str:
    name, _, symbol = match.groups()
    if name is None:
        return {"\\": r"\\", "!": "", "$": ""}.get(symbol or match.group(), " ") if match.group() != "$" else ""
    if name in TEXT:
        return r"\text"
    if name in DROPPED:
        return ""
    return " " if name in SPACES else COMMANDS.get(name, match.group()) + ("" if name in ("lt", "gt") else " ")


def _tidy(text: str) -> str:
    """Spaces that say nothing, full stops at the end, and braces or parentheses around the whole."""
    text = " ".join(text.split())
    text = _COMMA.sub(",", _NUMBERS_COMMA.sub("\0", text)).replace("\0", ", ")
    text = _TIGHT_COMMAND.sub(lambda match: match[1] or "", _TIGHT.sub(r"\1", text))
    before = None
    while before != text:
        before = text
        text = text.strip(" ").rstrip(".,;:").strip(" ")
        if text.endswith("\\") and not text.endswith("\\\\"):
            text = text[:-1]
        text = text.removeprefix("=").removeprefix("+") if len(text) > 1 else text
        if text.startswith("{") and encloses(text, 0):
            text = text[1:-1]
        while text.startswith("((") and text.endswith("))") and encloses(text, 0) and encloses(text[1:-1], 0):
            text = text[1:-1]
    text = _SPACED_THOUSANDS.sub(lambda match: match.group().replace(" ", ""), text)
    return text.lower() if text.isalpha() and len(text) > 1 else text


def encloses(text: str, start: int) -> bool:
    """Whether the bracket at ``start`` is closed by the last character, and not before it."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    opening, depth = text[start], 0
    closing = pairs[opening]
    for i in range(start, len(text)):
        if text[i] in "{}" and i and text[i - 1] == "\\":
            continue
        depth += (text[i] == opening) - (text[i] == closing)
        if depth == 0:
            return i == len(text) - 1
    return False
