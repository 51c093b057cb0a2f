"""The rules of the comparison: each by its example, and by pairs of the kinds that models and data sets write."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.rewards.math.conventions import AnswerConventions, UnevaluatedPolicy
from igrpo.rewards.math.equivalence import RULES, Rule, compare
from igrpo.rewards.math.normalise import normalise
from tests.rewards.helpers import rows

PAIRS = rows("pairs.jsonl")


def right(gold: str, answer: str, unevaluated: UnevaluatedPolicy = "rejected") -> bool:
    conventions = AnswerConventions(percent="number", base_subscript="optional", unevaluated=unevaluated)
    return compare(normalise(gold), normalise(answer), conventions) == "right"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_decides_its_examples(rule: Rule) -> None:
    assert rule.examples
    for gold, answer, same in rule.examples:
        assert right(gold, answer) is same, (gold, answer)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair['gold']} | {pair['answer']}")
def test_pairs(pair: dict[str, object]) -> None:
    assert right(str(pair["gold"]), str(pair["answer"])) is pair["same"]


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("6", r"\gcd(12,18)"), ("5050", r"\sum_{k=1}^{100} k"), (r"\frac13", r"\int_0^1 x^2\,dx"), ("3", r"\lfloor 3.7\rfloor"),
        (r"\frac{\pi}{4}", r"\arctan 1"), ("1", r"\max(0,1)"), ("4", r"17 \bmod 13"), (r"\frac12", r"\sin 30^\circ"),
        ("3", r"\log_2 8"), ("-2", r"\det\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    ],
)  # fmt: skip
def test_work_left_to_the_reader_is_a_matter_of_convention(gold: str, answer: str) -> None:
    assert not right(gold, answer)
    assert right(answer, gold)  # the gold answer may be written in that way
    assert right(answer, answer)
    if "bmod" not in answer:
        assert right(gold, answer, "accepted")


VALUES = [
    "7",
    r"\frac{3}{4}",
    r"2\sqrt{3}",
    "x^2+5",
    r"16\pi",
    "(1,2)",
    r"\begin{pmatrix}1\\2\end{pmatrix}",
    "3+5i",
    "x>7",
    "AB",
]
JUNK = [
    "_2", "^{T}", "^*", r"\#", "?", "|", r"\%2", ";9", r"\\9", r"\text{ or }9", r"\text{ plus }2", "!!", "#4", "@", "(1,2)",
    r"\cdot", "^{}", r"\sim", "_{x}", r"\text{ million}", r"^\dagger", r"\alpha", "y", "'", "=9", "<3", r"\approx 99",
]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("value", VALUES)
def test_nothing_is_dropped_behind_a_right_answer(value: str, junk: str) -> None:
    assert right(value, value)
    assert not right(value, value + junk)


def test_no_answer_can_be_made_to_agree_at_known_points() -> None:
    known = ["7/13", "29/23", "-11/17", "173/10", "5/97", "-37/8", "1009/7"]
    factors = "".join(rf"(x-\frac{{{a}}}{{{b}}})" for a, b in (point.split("/") for point in known))
    assert not right("x", f"x+{factors}")


LETTERS = st.sampled_from("abcmnpqrstuvwxyzABR")
ATOMS = st.one_of(st.integers(0, 99).map(str), LETTERS)


def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(lambda p: f"({p[0]}+{p[1]})"),
        pairs.map(lambda p: f"({p[0]})({p[1]})"),
        pairs.map(lambda p: rf"\frac{{{p[0]}}}{{7+({p[1]})^2}}"),
        inner.map(lambda e: rf"\sqrt{{({e})^2+1}}"),
        inner.map(lambda e: f"({e})^{{2}}"),
    )


EXPRESSIONS = st.recursive(ATOMS, deeper, max_leaves=5)


@given(EXPRESSIONS, EXPRESSIONS)
@settings(max_examples=60, deadline=None)
def test_sums_commute_and_a_changed_sum_differs(one: str, other: str) -> None:
    assert right(f"{one}+{other}", f"{other}+{one}")
    assert not right(f"{one}+{other}", f"{one}+{other}+1")
    assert not right(f"{one}+q_1", f"{one}+q_2")


@given(
    st.lists(
        st.sampled_from([*VALUES, *JUNK, " ", "{", "}", "(", "$", r"\frac", r"\text{", "=", ",", "½", "é"]), max_size=8
    )
)
@settings(max_examples=200, deadline=None)
def test_comparing_any_text_gives_a_verdict(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert right("7", text) in (True, False)
    assert right(text, "7") in (True, False)
