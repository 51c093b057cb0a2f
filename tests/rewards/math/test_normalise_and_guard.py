"""One spelling for one answer, exact numbers, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.rewards.math.guard import magnitude, refusal
from igrpo.rewards.math.normalise import normalise, plain_integer
from igrpo.rewards.math.numbers import Number, based_number, numbers_equal, parse_number
from igrpo.rewards.math.spelling_rules import PLAIN_RULES, RULES, Spelling
from tests.rewards.helpers import rows, unrolled

SAME = [
    ["1000", "1,000", "1 000", "1\\,000", "1{,}000", "1,\\!000", " 1000. ", "+1000", "０1000", "01000"],
    ["\\frac{1}{2}", "\\frac12", "\\dfrac12", "\\tfrac{1}2", "$\\frac{1}{2}$", "\\boxed{\\frac12}", "{\\frac{1}{2}}"],
    ["\\sqrt{2}", "√2", "\\sqrt2", "sqrt(2)", "√(2)"],
    ["90^\\circ", "90°", "90^{\\circ}", "90\\degree", "90º"],
    ["12", "12^{\\text{th}}", "12th", "12^{th}", "12\\text{th}"],
    ["28\\%", "28%", "28 percent", "28\\text{ percent}", "28 pct"],
    ["(3,\\frac{\\pi}{2})", "\\left( 3, \\frac{\\pi}{2} \\right)", "(3 ,\\frac{π}2)"],
    ["x\\leq3", "x \\le 3", "x <= 3", "x ≤ 3", "x \\leqslant 3"],
    ["1,2", "1 and 2", "1 \\text{ and } 2", "1, 2", "1 or 2", "1, and 2"],
    ["even", "even.", " even "],
    ["18.90\\text{dollars}", "\\$18.90", "$18.90", "18.90\\$"],
    ["5\\text{euros}", "€5", "5€", "5 €"],
    ["7", "**7**", "`7`", "\\color{red}{7}", "\\textcolor{blue}{7}"],
    ["\\frac{\\pi}{4}", "\\frac\\pi4", "\\frac{\\pi}4", "\\frac\\pi{4}"],
    ["x=1,y=2", "\\begin{cases}x=1\\\\y=2\\end{cases}", "\\begin{aligned}x&=1\\\\y&=2\\end{aligned}"],
]


@pytest.mark.parametrize("spellings", SAME, ids=lambda spellings: spellings[0])
def test_spellings_of_one_answer_have_one_normal_form(spellings: list[str]) -> None:
    assert {normalise(spelling) for spelling in spellings} == {normalise(spellings[0])}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x<1 \\text{ or } x>3", "x<1 \\text{ and } x>3"),
        ("1 2", "12"),
        ("32, 349", "32,349"),
        ("x", "X"),
        ("1.5", "15"),
        ("even", "EVEN"),  # whether letters are a word is for the comparison to tell
        ("30", "30^\\circ"),
        ("\\$5", "€5"),
    ],
)
def test_different_answers_keep_different_normal_forms(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_the_normal_form_is_stable_on_real_answers() -> None:
    for row in (row for row in rows("cases.jsonl") if not row["ambiguous"]):
        once = normalise(row["gold"])
        assert normalise(once) == once


@pytest.mark.parametrize("rule", [*RULES, *PLAIN_RULES], ids=lambda rule: rule.name)
def test_each_spelling_rule_does_what_its_example_says(rule: Spelling) -> None:
    before, after = rule.example
    assert normalise(before) == after
    assert rule.pattern.search(before) or rule.pattern.search(normalise(before)) is None


@given(st.text(alphabet="0123456789,.-+ \\{}()[]^_!%$xyfracsqtpie½²√π", max_size=40))
@settings(max_examples=300, deadline=None)
def test_normalising_never_fails_and_an_integer_stays_one(text: str) -> None:
    form = normalise(text)
    if plain_integer(text.strip()):
        assert form == plain_integer(text.strip())


@given(st.fractions(max_denominator=1000), st.fractions(max_denominator=1000))
def test_fractions_are_equal_exactly_when_their_values_are(one: Fraction, other: Fraction) -> None:
    spelled = [parse_number(f"\\frac{{{value.numerator}}}{{{value.denominator}}}") for value in (one, other)]
    assert spelled[0] is not None
    assert spelled[1] is not None
    assert numbers_equal(spelled[0], spelled[1]) == (one == other)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 1/4", Fraction(5, 4)),
        ("-1 1/4", Fraction(-5, 4)),
        ("2\\frac{1}{2}", Fraction(5, 2)),
        ("0.\\overline{3}", Fraction(1, 3)),
        ("0.1\\overline{6}", Fraction(1, 6)),
        ("1.\\overline{09}", Fraction(12, 11)),
        ("0.333\\ldots", Fraction(1, 3)),
        ("4.5e3", Fraction(4500)),
        ("4.5\\cdot 10^{-3}", Fraction(9, 2000)),
        ("1,234.5", Fraction(2469, 2)),
        (".5", Fraction(1, 2)),
        ("-\\frac{-1}{2}", Fraction(1, 2)),
        ("2\\frac{5}{3}", None),
        ("1/0", None),
        ("1e999999999", None),
        ("x", None),
        ("1 2", None),
        ("1.2.3", None),
    ],
)
def test_numbers(text: str, value: Fraction | None) -> None:
    number = parse_number(text)
    assert (number.value if number else None) == value


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("\\frac{1}{3}", "0.333333", True),
        ("\\frac{1}{3}", "0.3333", False),
        ("\\frac{1}{3}", "0.333334", False),
        ("16386.16", "16386.1634", True),
        ("16386.16", "16386.2", False),
        ("16386.16", "16386.17", False),
        ("7.78", "7.7777777", False),
        ("0.0000001", "0.0000002", False),
        ("5", "5.0000001", False),
    ],
)
def test_rounding(gold: str, answer: str, equal: bool) -> None:
    numbers = parse_number(gold), parse_number(answer)
    assert isinstance(numbers[0], Number)
    assert isinstance(numbers[1], Number)
    assert numbers_equal(numbers[0], numbers[1]) is equal


def test_based_numbers() -> None:
    assert {based_number(text) for text in ("52_8", "52_{8}", "52_{\\text{eight}}", "52_{(8)}")} == {("52", "8")}
    assert based_number("x_8") is None


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9}}", "9^9^9", "9^{(9^9)}", "10^{-1000000000}", "2^{100001}", "((9!)!)!", "100000!", "(10^8)!", "9!!!!!",
        "3\\uparrow\\uparrow3", "1e1000000", "1e0000000001000000", "(9!)!!", "2^{0 0 0 0 100001}", ")" * 50 + "(" * 41, "1" * 2001, "(" * 41 + ")" * 41, "x^" * 100 + "x", "1+" * 2001,
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    assert refusal(text, 4000)


@pytest.mark.parametrize(
    "text",
    [
        "2^{2014}-1", "2^{2^{2^{2}}}", "\\frac{1}{2004!}", "\\sum_{k=1}^{1000000000}k", "e^{x^{2}}", "x^{100}", "n!",
        "(2n)!", "10^{33}", "4.5e33", "\\binom{2016}{1008}", "1-\\frac{1}{e}", "\\int_0^{1000000}x", "a^{b^{c}}",
        "1+\\frac{1}{1+\\frac{1}{1+\\frac{1}{1+\\frac{1}{2}}}}", "x^{8}+x^{7}+x^{6}+x^{5}+x^{4}+x^{3}+x^{2}+x+1",
    ],
)  # fmt: skip
def test_reasonable_answers_are_not_refused(text: str) -> None:
    assert refusal(text, 4000) is None


def test_no_gold_answer_of_the_real_cases_is_refused() -> None:
    assert [row["id"] for row in rows("cases.jsonl") if refusal(normalise(row["gold"]), 4000)] == []


@given(
    st.recursive(st.integers(0, 9).map(str), lambda inner: st.tuples(inner, inner).map(lambda p: f"({p[0]}+{p[1]})*2"))
)
def test_magnitude_is_an_upper_bound_of_sums_and_products(text: str) -> None:
    assert magnitude(text) >= eval(text) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("text", "bound"),
    [(".", 1.0), ("..", 1.0), ("2^.", 2.0), ("²", 1.0), ("٣!", 1.0), ("", 0.0), ("3)+4", 8.0), ("0.5*10", 10.0)],
)
def test_magnitude_of_what_is_no_number(text: str, bound: float) -> None:
    assert magnitude(text) == bound


def test_magnitude_of_deep_nesting_is_infinite() -> None:
    assert magnitude("(" * 5000) == magnitude("2^" * 5000) == float("inf")


@pytest.mark.timeout(120)  # a cost that grows exponentially takes far longer
def test_the_guard_is_fast_on_every_stress_input() -> None:
    inputs = [unrolled(row["prediction"])[:8000] for row in rows("stress.jsonl")]
    assert sum(refusal(normalise(text), 4000) is not None for text in inputs) == 42
    texts = {
        "1" * 1999 + "a!" * 1000: None,
        ")!" * 2000: None,
        "!" * 4000: None,
        "\\sum_{" + "a^" * 1900: "a tower of more than 20 powers",
        "a^{b!}" * 600: None,
        "(a!)" * 1000: None,
    }
    assert {text: refusal(text, 4000) for text in texts} == texts


@pytest.mark.parametrize("text", ["x^{.}", "2^{.}", ".!", "x^{..}", "3^{\u00b2}", "x^{\uff11}"])
def test_the_guard_reads_points_and_digits_that_are_no_numbers(text: str) -> None:
    assert refusal(text, 4000) is None
