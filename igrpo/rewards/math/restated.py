r"""Detection of answers that repeat a formula of the problem: ``\boxed{501^2-499^2}`` for *Evaluate $501^2-499^2$*.

Such an answer equals the gold answer without solving the problem, so it is not accepted. Exceptions are gold answers
that are written in the same way, and answers that are plain numbers or names (a probability stated in the problem may
also be the answer). The formulas of a problem are the text between dollars or similar delimiters, and calculations in
plain text (*What is 4 * 10?*). If the gold answer is a number, an arithmetic expression with all numbers of such a
calculation also repeats it, in any order: a policy trained on products otherwise learns ``10 * 4`` and ``4 * 10 * 1``.
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
#: Calculation in plain text: numbers and single letters with operators between them.
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
    """Return the formulas of a problem and the sides of its relations that contain an operation, in normal form."""
    found: set[str] = set()
    for formula in _written(problem):
        found |= _parts(formula)
    return frozenset(part for part in found if _holds_work(part))


def restates(problem: str, gold: str, answer: str) -> bool:
    """True if a normalised answer is a formula of the problem, but not the gold answer."""
    if parse_number(gold) is not None and _repeats_numbers(problem, gold, answer):
        return True
    if not _WORK.search(answer):
        return False
    given = formulas(problem)
    mine = _parts(answer)
    said = {_bare(gold)} | set(filter(_holds_work, _parts(gold)))
    return not given.isdisjoint(mine) and said.isdisjoint(mine)


def _written(problem: str) -> list[str]:
    """Return the whole formulas of a problem in normal form: between delimiters, and in the remaining text."""
    text = problem[:_LONGEST]
    between = [_LABEL.sub(" ", next(filter(None, match.groups()))) for match in _FORMULA.finditer(text)]
    plain = [_TIMES.sub(r" \\times ", match[0]) for match in _PLAIN.finditer(_FORMULA.sub(" ; ", text))]
    return [normalise(formula) for formula in [*between, *plain]]


def _repeats_numbers(problem: str, gold: str, answer: str) -> bool:
    """True if the answer is an arithmetic expression with all numbers of a calculation in the problem.

    An expression among words, which a comparison ignores, counts only if it does not contain the gold number.
    """
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
    """Return the numbers of each arithmetic expression of a problem that has at least two numbers."""
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
