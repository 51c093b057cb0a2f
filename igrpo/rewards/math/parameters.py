r"""Parameters with arbitrary names: the integer in ``k\pi, k \in \mathbb{Z}``, the constant in ``x^2 + C``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import sympy  # type: ignore[import-untyped]

_DECLARATION = re.compile(
    r"(?P<body>.+?)(?:,|;|\\text\{(?:where|for|with|and|,)\}|\(|\\text\{[^{}]*\b)?(?P<name>[a-zA-Z])"
    r"\\in ?\\mathbb\{?(?P<domain>[ZNQR])\}?(?P<more>\^?[+*]?)\)?",
    re.DOTALL,
)
_BUILDER = re.compile(
    r"\\\{(?P<body>.+?)(?::|\||\\mid ?)(?P<name>[a-zA-Z])\\in ?\\mathbb\{?(?P<domain>[ZNQR])\}?(?P<more>\^?[+*]?)\\\}",
    re.DOTALL,
)
_PLACEHOLDER = "\\kappa "
_CONSTANTS = ("C", "c", "K", "k", "D")


@dataclass(frozen=True, slots=True)
class Declared:
    """Answer with a parameter: its body, the name of the parameter and the domain of the parameter."""

    body: str
    name: str
    domain: str

    @property
    def named(self) -> str:
        """Body of the answer, with the parameter replaced by a fixed name."""
        return re.sub(rf"(?<![\\a-zA-Z]){self.name}(?![a-zA-Z]*\{{)", lambda _: _PLACEHOLDER, self.body)


def declared(answer: str) -> Declared | None:
    """Return the body and parameter of an answer; None if it declares no parameter or does not use it."""
    for shape in (_BUILDER, _DECLARATION):
        match = shape.fullmatch(answer)
        if match is None:
            continue
        body = match["body"].rstrip(" ,;(")
        if (
            body.count("(") == body.count(")")
            and re.search(rf"(?<![\\a-zA-Z]){match['name']}", body)
            and body != match["name"]
        ):
            kind = "set:" if shape is _BUILDER else ""
            return Declared(body, match["name"], kind + match["domain"] + match["more"])
    return None


def with_constant_named(gold: Any, answer: Any) -> Any:
    """Rename the answer's constant of integration to the gold answer's, if both are sums with one such constant."""
    mine, other = _constant(gold), _constant(answer)
    if mine is None or other is None or mine == other or gold.has(other) or answer.has(mine):
        return answer
    return answer.xreplace({other: mine})


def _constant(expression: Any) -> Any:
    if not isinstance(expression, sympy.Add):
        return None
    lone = [term for term in expression.args if isinstance(term, sympy.Symbol) and term.name in _CONSTANTS]
    if len(lone) != 1 or len(expression.free_symbols) < 2:
        return None
    return lone[0] if not (expression - lone[0]).has(lone[0]) else None
