r"""Comparison of two answers as mathematical objects. Runs in a worker process.

The rules of ``RULES`` are tried in order. Each rule either decides or passes the answers on to the next. First the
outer structure is compared as text: words, units, lists, tuples, intervals, matrices, names before an ``=``. The
remaining expressions are compared exactly (``symbolic``). The verdict is ``right`` only if every part matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from igrpo.rewards.math import collection_rules, rules, word_rules
from igrpo.rewards.math.comparing import Comparing
from igrpo.rewards.math.conventions import AnswerConventions
from igrpo.rewards.math.functions import UnparsableError
from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.text import without_text

Verdict = Literal["right", "wrong", "unparsable"]

_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=[a-zA-Z])")
_IDLE_SPACE = re.compile(r"(?<![0-9]) | (?![0-9])")


@dataclass(frozen=True, slots=True)
class Rule:
    """Step of the comparison.

    Attributes:
        name: name of the rule.
        decide: function that returns True or False if the rule decides, None to pass on to the next rule.
        examples: gold answer, answer, and whether they are the same; decided by this rule or an earlier one.
    """

    name: str
    decide: Callable[[Comparing, str, str], bool | None]
    examples: tuple[tuple[str, str, bool], ...]


RULES: tuple[Rule, ...] = (
    Rule(
        "definitions by cases",
        collection_rules.cases,
        ((r"\begin{cases}1&x>0\\0&x<0\end{cases}", r"\begin{cases}0,&x<0\\1,&0<x\end{cases}", True),),
    ),
    Rule("percent signs, by convention", rules.percents, ((r"28\%", "28", True), (r"(10,2)", r"(10\%,2)", False))),
    Rule("single numbers", rules.numbers, (("1,234", "1234", True), ("0.5", r"\frac{1}{2}", True))),
    Rule(
        "only as written: dots, quantifiers, congruences",
        rules.written,
        ((r"1,2,\ldots,n", r"1,3,\ldots,n", False), (r"n\equiv1\pmod4", r"n\equiv3\pmod4", False)),
    ),
    Rule("parameters by any name", rules.parameter, ((r"k\pi,k\in\mathbb{Z}", r"n\pi,n\in\mathbb{Z}", True),)),
    Rule(
        "a chain of equalities, its value",
        rules.chain,
        ((r"16\pi", r"16\pi\approx50.27", True), ("3", r"2\approx3", False), ("5", "x=5", True)),
    ),
    Rule("membership", collection_rules.membership, ((r"[1,2]", r"x\in[1,2]", True),)),
    Rule("conditions in any order", collection_rules.conditions, ((r"x<1\text{or}x>2", r"x>2\text{or}x<1", True),)),
    Rule(
        "sets and solved inequalities",
        collection_rules.sets,
        ((r"(2,4)", "2<x<4", True), (r"(-2,4)", "|x-1|<3", False)),
    ),
    Rule("numbers in a base", rules.based, (("52_8", "52_{8}", True), ("52_8", "52_9", False))),
    Rule("the same words", word_rules.same_words, ((r"\text{Tuesday}", "tuesday", True), ("C", "(C) 12", True))),
    Rule(
        "quantities with units", word_rules.quantity, ((r"5\text{cm}", "5", True), (r"5\text{cm}", r"5\text{m}", False))
    ),
    Rule(
        "other words",
        word_rules.other_words,
        ((r"\text{Tuesday}", "Monday", False), (r"\emptyset", "no solution", True)),
    ),
    Rule("formulas between words", word_rules.between_words, ((r"x+1\text{ if }x>0", r"1+x\text{ if }x>0", True),)),
    Rule(
        "matrices by their cells",
        collection_rules.matrices,
        ((r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", True),),
    ),
    Rule("lists, tuples, assignments", collection_rules.collection, (("1,2", "2,1", True), ("(1,2)", "(2,1)", False))),
    Rule("equations and inequalities", rules.relation, (("x^2+y^2=4", "x^2+y^2-4=0", True), ("x=5", "2x=10", False))),
    Rule(
        "two values in one expression",
        collection_rules.alternatives,
        ((r"1\pm\sqrt{2}", r"1+\sqrt{2},1-\sqrt{2}", True),),
    ),
    Rule("ratios", rules.ratio, (("1:2:3", "2:4:6", True), ("1:2:3", "3:2:1", False))),
    Rule("expressions", rules.expression, (("x^{2}+x", "x(x+1)", True), ("6", r"\gcd(12,18)", False))),
)


def compare(gold: str, answer: str, conventions: AnswerConventions) -> Verdict:
    """Return the verdict on two normalised answers. Unexpected errors are raised, since there is no verdict then."""
    if "\\begin" not in gold and _DOUBLED_BACKSLASH.search(gold):
        # Data sets contain doubly escaped gold answers. Answers of a model are read as written.
        gold = normalise(_DOUBLED_BACKSLASH.sub(r"\\", gold))
    if _DOUBLED_BACKSLASH.search(answer) and "\\begin" not in answer:
        return "unparsable"
    try:
        return "right" if AnswerComparison(conventions).same(gold, answer) else "wrong"
    except UnparsableError:
        return "unparsable"


class AnswerComparison:
    """Comparison of two answers, and of their parts, by ``RULES``."""

    def __init__(self, conventions: AnswerConventions) -> None:
        self.conventions = conventions
        self._parts = 0

    def same(self, gold: str, answer: str) -> bool:
        """True if ``answer`` is equivalent to ``gold``. Raises UnparsableError if it cannot be parsed."""
        gold, answer = _clean(gold), _clean(answer)
        if _bare(gold) == _bare(answer):
            return bool(gold)
        if not gold or not answer:
            return False
        for rule in RULES:
            verdict = rule.decide(self, gold, answer)
            if verdict is not None:
                return verdict
        return False

    def same_part(self, gold: str, answer: str) -> bool:
        """Compare one element of each answer."""
        self._parts += 1
        try:
            return self.same(gold, answer)
        finally:
            self._parts -= 1

    @property
    def within(self) -> bool:
        """True while elements of the answers are compared, not the whole answers."""
        return self._parts > 0


def _bare(text: str) -> str:
    return _IDLE_SPACE.sub("", without_text(text))


def _clean(text: str) -> str:
    text = text.strip()
    while text.startswith("{") and text.endswith("}") and text.count("{") == 1:
        text = text[1:-1].strip()
    return text.replace("+-", "-").replace("--", "+").removeprefix("+")
