r"""Answers that repeat a formula of their problem: ``\boxed{501^2-499^2}`` to *Evaluate $501^2-499^2$*.

Such an answer is equal to the gold one and does none of the work. It is no answer, unless the gold answer is written in
the same way, or it is a plain number or name (a probability of the problem may well be the answer, too). Formulas are
what a problem writes between dollars or the like, and sums in its plain text (*What is 4 * 10?*). Where the gold answer
is a number, an expression of numbers that holds all numbers of such a sum repeats it, too, in whatever order: a policy
that is trained on products finds ``10 * 4`` and ``4 * 10 * 1`` next.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.numbers import parse_number
from igrpo.rewards.math.structure import sides, split_top

_FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_LABEL = re.compile(r"\\(?:label|tag)\{[^{}]*\}|\\(?:qquad|quad)")
_LONGEST = 20_000
#: A sum in plain text: numbers and single letters with signs between them.
_OPERAND = r"[(\[]*(?:\d+(?:[.,]\d+)*[a-zA-Z]?|[a-zA-Z])(?!\w)[)\]!]*"
_SIGN = r"(?:\s*(?:\*\*|[-+*/^×·÷−])\s*|\s+x\s+(?=\d))"
_PLAIN = re.compile(rf"(?<![\w.]){_OPERAND}(?:{_SIGN}{_OPERAND})+")
_TIMES = re.compile(r"(?<=\d)\s+x\s+(?=\d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SCIENTIFIC = re.compile(r"-?\d+(?:\.\d+)?\s*\\(?:cdot|times)\s*10\^\{?-?\d+\}?")
_ARITHMETIC = re.compile(r"(?:[-\d.+*/^!(){}\[\]\s]|\\(?:cdot|times|div|[dt]?frac|sqrt|left|right)(?![a-zA-Z]))+")
_WORDS = re.compile(r"\\text\{[^{}]*\}|(?<![\\a-zA-Z])[a-zA-Z]+|[,;:?'\"`]|(?<!\d)\.|\.(?!\d)")
_WORK = re.compile(r"[-+*/^!|=<>]|\\[a-zA-Z]")


@lru_cache(maxsize=1024)
def formulas(problem: str) -> frozenset[str]:
    """The formulas of a problem and the sides of its relations, in normal form; those that hold some operation."""
    found: set[str] = set()
    for formula in _written(problem):
        found |= _parts(formula)
    return frozenset(part for part in found if _holds_work(part))


def restates(problem: str, gold: str, answer: str) -> bool:
    """Return whether a normalised answer is a formula of the problem, and not the gold answer's."""
    if parse_number(gold) is not None and _repeats_numbers(problem, gold, answer):
        return True
    if not _WORK.search(answer):
        return False
    given = formulas(problem)
    mine = _parts(answer)
    said = {_bare(gold)} | set(filter(_holds_work, _parts(gold)))
    return not given.isdisjoint(mine) and said.isdisjoint(mine)


def _written(problem: str) -> list[str]:
    """The formulas of a problem in normal form, whole: between dollars, and in what is left of its text."""
    text = problem[:_LONGEST]
    between = [_LABEL.sub(" ", next(filter(None, match.groups()))) for match in _FORMULA.finditer(text)]
    plain = [_TIMES.sub(r" \\times ", match[0]) for match in _PLAIN.finditer(_FORMULA.sub(" ; ", text))]
    return [normalise(formula) for formula in [*between, *plain]]


def _repeats_numbers(problem: str, gold: str, answer: str) -> bool:
    """Return whether an arithmetic expression holds all numbers of one that the problem writes; one with words around
    it, which a comparison passes over, must lack the gold number besides."""
    expression = _WORDS.sub(" ", answer)
    if not _ARITHMETIC.fullmatch(expression) or _SCIENTIFIC.fullmatch(answer) or parse_number(answer) is not None:
        return False
    numbers = _NUMBER.findall(expression)
    if expression != answer and gold in numbers:
        return False
    mine = Counter(numbers)
    return any(theirs <= mine for theirs in map(Counter, _sums(problem)))


@lru_cache(maxsize=1024)
def _sums(problem: str) -> tuple[tuple[str, ...], ...]:
    """The numbers of each arithmetic expression of a problem, at least two of them."""
    found = [part for formula in _written(problem) for part in _parts(formula)]
    numbers = [tuple(_NUMBER.findall(part)) for part in found if _ARITHMETIC.fullmatch(part) and _holds_work(part)]
    return tuple(several for several in numbers if len(several) > 1)


def _parts(formula: str) -> set[str]:
    parts = {formula, *sides(formula)}
    return {_bare(part) for whole in parts for part in (whole, *split_top(whole, (",", ";")))}


def _bare(text: str) -> str:
    text = text.replace(" ", "").rstrip(".,;")
    return text[1:-1] if text.startswith("{") and text.endswith("}") else text


def _holds_work(part: str) -> bool:
    return len(part) > 2 and _WORK.search(part) is not None and parse_number(part) is None
