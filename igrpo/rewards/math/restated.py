r"""Answers that repeat a formula of their problem: ``\boxed{501^2-499^2}`` to *Evaluate $501^2-499^2$*.

Such an answer is equal to the gold one and does none of the work. It is no answer, unless the gold answer is written in
the same way, or it is a plain number or name (a probability of the problem may well be the answer, too).
"""

from __future__ import annotations

import re
from functools import lru_cache

from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.numbers import parse_number
from igrpo.rewards.math.structure import sides, split_top

_FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_LABEL = re.compile(r"\\(?:label|tag)\{[^{}]*\}|\\(?:qquad|quad)")
_LONGEST = 20_000
_WORK = re.compile(r"[-+*/^!|=<>]|\\[a-zA-Z]")


@lru_cache(maxsize=1024)
def formulas(problem: str) -> frozenset[str]:
    """The formulas of a problem and the sides of its relations, in normal form; those that hold some operation."""
    found: set[str] = set()
    for match in _FORMULA.finditer(problem[:_LONGEST]):
        formula = normalise(_LABEL.sub(" ", next(filter(None, match.groups()))))
        found |= _parts(formula)
    return frozenset(part for part in found if _holds_work(part))


def restates(problem: str, gold: str, answer: str) -> bool:
    """Return whether a normalised answer is a formula of the problem, and not the gold answer's."""
    if not _WORK.search(answer):
        return False
    given = formulas(problem)
    mine = _parts(answer)
    said = {_bare(gold)} | set(filter(_holds_work, _parts(gold)))
    return not given.isdisjoint(mine) and said.isdisjoint(mine)


def _parts(formula: str) -> set[str]:
    parts = {formula, *sides(formula)}
    return {_bare(part) for whole in parts for part in (whole, *split_top(whole, (",", ";")))}


def _bare(text: str) -> str:
    text = text.replace(" ", "").rstrip(".,;")
    return text[1:-1] if text.startswith("{") and text.endswith("}") else text


def _holds_work(part: str) -> bool:
    return len(part) > 2 and _WORK.search(part) is not None and parse_number(part) is None
