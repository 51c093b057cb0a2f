r"""The outer shape of an answer, read from its LaTeX: lists, tuples, intervals, matrices, relations."""

from __future__ import annotations

import re
from dataclasses import dataclass

from igrpo.rewards.math.normalise import encloses

_TOKEN = re.compile(r"\\(?:begin|end)\{[^{}]*\}|\\[a-zA-Z]+|\\.|.", re.DOTALL)
_MATRIX = re.compile(
    r"\\begin\{(?:[pbBvV]?matrix|array)\}(?:\{[^{}]*\})?(?P<body>.*)\\end\{(?:[pb]?matrix|array)\}", re.DOTALL
)
_RELATIONS = ("=", "\\approx", "<", ">", "\\leq", "\\geq", "\\neq", "\\in")
_NAME = re.compile(
    r"(?:\\[a-zA-Z]+ ?|[a-zA-Z]|'|_(?:\{[^{}]*\}|[a-zA-Z0-9])|\|[a-zA-Z]+\||[()|,:/ ]|\\text\{[^{}]*\}"
    r"|\([a-zA-Z0-9](?:,[a-zA-Z0-9])*\))+"
)
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")


@dataclass(frozen=True, slots=True)
class Collection:
    """Elements with their brackets: "" for a bare list, "{}" for a set, "()", "[)" ... for tuples and intervals."""

    brackets: str
    elements: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        return self.brackets not in ("", "{}")


def split_top(text: str, separators: tuple[str, ...]) -> list[str]:
    """The parts of ``text`` between separators that stand outside all brackets."""
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
    """The list, set, tuple or interval that the whole answer is."""
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


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            return False
    return depth == 0


def without_thousands(text: str) -> str:
    """The answer read with every ``1,234`` outside brackets as one number; unchanged where a comma is no separator."""
    if "," not in text or re.search(r"[(\[]|\\\{", text) or len(split_top(_THOUSANDS.sub("0", text), (",", ";"))) > 1:
        return text
    return _THOUSANDS.sub(lambda match: match.group().replace(",", ""), text)


def matrix(text: str) -> list[list[str]] | None:
    """The cells of an answer that is one matrix."""
    text = text[1:-1] if text[:1] in ("(", "[") and text[-1:] in (")", "]") and encloses(text, 0) else text
    match = _MATRIX.fullmatch(text.strip())
    if match is None or "\\begin" in match["body"]:
        return None
    rows = [row for row in match["body"].split("\\\\") if row.strip()]
    return [[cell.strip() for cell in split_top(row, ("&",))] for row in rows]


def relation_signs(text: str) -> list[str]:
    """The relation signs outside all brackets, in order."""
    signs, depth = [], 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        depth += (token in ("(", "[", "{", "\\{")) - (token in (")", "]", "}", "\\}"))
        if depth == 0 and token in _RELATIONS:
            signs.append(token)
    return signs


def sides(text: str) -> list[str]:
    """What stands between the relation signs."""
    return split_top(text, _RELATIONS)


def is_name(text: str) -> bool:
    r"""Whether a left-hand side merely names the value: ``x``, ``f(x)``, ``|AB|``, ``(p,q)``, ``S_{1}:S``."""
    return _NAME.fullmatch(text) is not None and re.search(r"[a-zA-Z]", text) is not None


def plus_minus(text: str) -> list[str]:
    r"""The two values of an expression with ``\pm`` (and ``\mp``); the expression itself when it has none."""
    if "\\pm" not in text and "\\mp" not in text:
        return [text]
    upper = re.sub(r"\\mp ?", "-", re.sub(r"\\pm ?", "+", text))
    lower = re.sub(r"\\mp ?", "+", re.sub(r"\\pm ?", "-", text))
    return [upper.removeprefix("+"), lower.removeprefix("+")]


def is_equation(signs: list[str]) -> bool:
    """Whether the relation signs make it an equation, or a chain of them."""
    return bool(signs) and all(sign in ("=", "\\approx") for sign in signs)


def only_value(text: str, *, strip: bool) -> str:
    r"""Without ``x \in`` and, where the other side is no equation, without a name and an ``=`` before the value."""
    signs, parts = relation_signs(text), sides(text)
    if signs == ["\\in"] and is_name(parts[0]):
        return parts[1]
    if (
        strip
        and is_equation(signs)
        and collection(text) is None
        and (is_name(parts[0]) or not re.search(r"(?<![\\a-zA-Z])[a-zA-Z]", parts[0]))
    ):
        return parts[-1]
    return text
