r"""Outer structure of a LaTeX answer: lists, tuples, intervals, matrices, relations."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\\(?:begin|end)\{[^{}]*\}|\\[a-zA-Z]+|\\.|.", re.DOTALL)
_MATRIX = re.compile(
    r"\\begin\{(?:[pbBvV]?matrix|array)\}(?:\{[^{}]*\})?(?P<body>.*)\\end\{(?:[pb]?matrix|array)\}", re.DOTALL
)
_CASES = re.compile(r"\\begin\{cases\}(?P<body>(?:(?!\\begin).)*)\\end\{cases\}", re.DOTALL)
_IF = re.compile(r"^ *(?:\\text ?\{ *(?:if|for|when|where) *,? *\}|(?:if|for|when)\b)")
_RELATIONS = ("=", "\\approx", "<", ">", "\\leq", "\\geq", "\\neq", "\\in")
_NAME = re.compile(
    r"(?:\\(?:vec|overline|overrightarrow|hat|bar|widehat) ?\{[a-zA-Z]+\}|\\[a-zA-Z]+ ?|[a-zA-Z]|'"
    r"|_(?:\{[^{}]*\}|[a-zA-Z0-9])|\|[a-zA-Z]+\||[()|,:/ ]|\\text\{[^{}]*\}|\([a-zA-Z0-9](?:,[a-zA-Z0-9])*\))+"
)
_DERIVATIVE = re.compile(r"\\frac\{(?:d|\\partial ?)(?:\^[0-9])?[a-zA-Z]\}\{(?:d|\\partial ?)[a-zA-Z](?:\^[0-9])?\}")
_ABSOLUTE = re.compile(r"\|[a-z]\|")
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")


@dataclass(frozen=True, slots=True)
class Collection:
    """Elements with their brackets: "" for a bare list, "{}" for a set, "()", "[)" ... for tuples and intervals."""

    brackets: str
    elements: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        return self.brackets not in ("", "{}")


def encloses(text: str, start: int) -> bool:
    """True if the bracket at ``start`` is closed by the last character, and not before."""
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


def split_top(text: str, separators: tuple[str, ...]) -> list[str]:
    """Split ``text`` at the separators outside all brackets."""
    parts, depth, start = [], 0, 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in ("(", "[", "{", "\\{") or token.startswith("\\begin"):
            depth += 1
        elif token in (")", "]", "}", "\\}") or token.startswith("\\end"):
            depth -= 1
        elif depth == 0 and token in separators:
            parts.append(text[start : match.start()])
            start = match.end()
    return [part.strip() for part in [*parts, text[start:]]]


def collection(text: str) -> Collection | None:
    """Parse the whole answer as a list, set, tuple or interval; None for anything else."""
    parts = split_top(text, (",", ";"))
    if len(parts) > 1:
        return Collection("", tuple(part for part in parts if part))
    if text.startswith("\\{") and text.endswith("\\}"):
        inside = text[2:-2]
        if "\\}" not in inside and "|" not in inside and ":" not in inside:
            return Collection("{}", tuple(part for part in split_top(inside, (",", ";")) if part))
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and len(text) > 2:
        parts = split_top(text[1:-1], (",", ";"))
        if len(parts) > 1 and _balanced(text[1:-1]):
            return Collection(text[0] + text[-1], tuple(parts))
    return None


def only_element(text: str) -> str:
    """Return the element of a set with one element; return any other text unchanged."""
    found = collection(text)
    if found is None or found.brackets != "{}" or len(found.elements) != 1:
        return text
    return text if found.elements[0].startswith(("\\emptyset", "\\{")) else found.elements[0]


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            return False
    return depth == 0


def without_thousands(text: str) -> str:
    """Remove thousands separators (``1,234``), unless the answer has brackets or its commas separate elements."""
    if "," not in text or re.search(r"[(\[]|\\\{", text) or len(split_top(_THOUSANDS.sub("0", text), (",", ";"))) > 1:
        return text
    return _THOUSANDS.sub(lambda match: match.group().replace(",", ""), text)


def matrix(text: str) -> list[list[str]] | None:
    """Return the cells of an answer that is one matrix; None for anything else."""
    text = text[1:-1] if text[:1] in ("(", "[") and text[-1:] in (")", "]") and encloses(text, 0) else text
    match = _MATRIX.fullmatch(text.strip())
    if match is None or "\\begin" in match["body"]:
        return None
    rows = [row for row in match["body"].split("\\\\") if row.strip()]
    return [[cell.strip() for cell in split_top(row, ("&",))] for row in rows]


def piecewise(text: str) -> list[tuple[str, str]] | None:
    """Return the values and conditions of a definition by cases; None for anything else."""
    match = _CASES.fullmatch(text.strip())
    rows = [split_top(row, ("&",)) for row in match["body"].split("\\\\") if row.strip()] if match else []
    if not rows or any(len(row) != 2 for row in rows):
        return None
    return [(value.rstrip(" ,"), _IF.sub("", condition).strip(" ,.;")) for value, condition in rows]


def relation_signs(text: str) -> list[str]:
    """Return the relation signs outside all brackets, in order."""
    signs, depth = [], 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        depth += (token in ("(", "[", "{", "\\{") or token.startswith("\\begin")) - (
            token in (")", "]", "}", "\\}") or token.startswith("\\end")
        )
        if depth == 0 and token in _RELATIONS:
            signs.append(token)
    return signs


def sides(text: str) -> list[str]:
    """Split the text at its relation signs."""
    return split_top(text, _RELATIONS)


def is_name(text: str) -> bool:
    r"""True if a left-hand side merely names the value: ``x``, ``f(x)``, ``|AB|``, ``(p,q)``, ``S_{1}:S``."""
    if _ABSOLUTE.fullmatch(text):
        return False  # `|x| = 3` is an equation for x; `|AB| = 3` is the length of a segment
    return _DERIVATIVE.fullmatch(text) is not None or (
        _NAME.fullmatch(text) is not None and re.search(r"[a-zA-Z]", text) is not None
    )


_FIGURE = re.compile(
    r"^m(?=\\(?:angle|overline|measuredangle))|\\(?:angle|measuredangle|overline|triangle|text)|[^A-Za-z0-9_\\]"
)


def name_key(name: str) -> str:
    r"""Remove decoration from a name: ``m\angle A`` and ``\angle A`` are ``A``, ``|AB|`` is ``AB``."""
    return _FIGURE.sub("", name)


def plus_minus(text: str) -> list[str]:
    r"""Return both values of an expression with ``\pm`` or ``\mp``; otherwise only the expression itself."""
    if "\\pm" not in text and "\\mp" not in text:
        return [text]
    upper = re.sub(r"\\mp ?", "-", re.sub(r"\\pm ?", "+", text))
    lower = re.sub(r"\\mp ?", "+", re.sub(r"\\pm ?", "-", text))
    return [upper.removeprefix("+"), lower.removeprefix("+")]


def function_letters(gold: str, answer: str) -> frozenset[str]:
    """Return the letters that both answers use only as names of functions, before an argument in parentheses.

    Letters that are common factors (``k(x-1)``) are excluded.
    """
    both = f"{gold} {answer}"
    applied = set("fghpqrsuvwy" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ") & set(
        re.findall(r"(?<![\\a-zA-Z])([a-zA-Z])'*(?:\^\{-1\})?\(", both)
    )
    bare = set(
        re.findall(r"(?<![\\a-zA-Z])([a-zA-Z])(?!'*(?:\^\{-1\})?\()", re.sub(r"_\{[^{}]*\}|\\[a-zA-Z]+", " ", both))
    )
    return frozenset(applied - bare)


def is_inequality(text: str) -> bool:
    """True if a text contains an inequality outside all brackets."""
    return any(sign not in ("=", "\\approx", "\\in") for sign in relation_signs(text))


def is_equation(signs: list[str]) -> bool:
    """True if the relation signs form an equation or a chain of equations."""
    return bool(signs) and all(sign in ("=", "\\approx") for sign in signs)
