"""Answers that repeat their problem: a policy that boxes the longest formula of the problem earns nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from igrpo.rewards.math.restated import restates
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.types import Question

#: Problems in the manner of competition data sets, written for this test: text and gold answer.
PROBLEMS = [
    ("Evaluate $(2^3)^3$.", "512"),
    ("What is $501^2 - 499^2$?", "2000"),
    ("Simplify $\\sqrt{50} + \\sqrt{18}$.", "8\\sqrt{2}"),
    ("Expand the product ${(x+2)(x+5)}$.", "x^2+7x+10"),
    ("Factor $29b^2 + 145b$ completely.", "29b(b+5)"),
    ("Compute $\\dbinom{9}{4}$.", "126"),
    ("Compute $\\dbinom{9}{2}\\times \\dbinom{7}{2}$.", "756"),
    ("Simplify $5x + 6 - x + 12$.", "4x+18"),
    ("Find $x$ if \\[x = \\dfrac{35}{6-\\frac{2}{5}}.\\]", "\\frac{25}{4}"),
    ("Solve $2x + 3 = 13$ for $x$.", "5"),
    ("Solve the inequality $|x-1| < 3$.", "(-2,4)"),
    ("For which $x$ is $x^2 - 2x - 3 \\ge 0$?", "(-\\infty,-1]\\cup[3,\\infty)"),
    ("Find $\\gcd(84, 126)$.", "42"),
    ("Evaluate $\\sum_{k=1}^{20} k$.", "210"),
    ("Evaluate \\[\\int_0^2 3x^2\\,dx.\\]", "8"),
    ("Find $\\lim_{x\\to 0} \\frac{\\sin 3x}{x}$.", "3"),
    ("What is $\\sin 150^\\circ$?", "\\frac{1}{2}"),
    ("Compute $\\log_3 81$.", "4"),
    ("Compute $\\left\\lfloor 7.6 \\right\\rfloor$.", "7"),
    ("Compute $\\begin{vmatrix} 7 & 3 \\\\ -1 & 2 \\end{vmatrix}$.", "17"),
    ("Find $3 \\begin{pmatrix} 2 \\\\ -8 \\end{pmatrix} - 2 \\begin{pmatrix} 1 \\\\ -7 \\end{pmatrix}$.", "\\begin{pmatrix} 4 \\\\ -10 \\end{pmatrix}"),
    ("Compute $\\frac{6! + 7!}{5!}$.", "48"),
    ("Evaluate $\\sqrt[3]{30^3+40^3+50^3}$.", "60"),
    ("Write $81^{3/4}$ as an integer.", "27"),
    ("Evaluate $(-64)\\div (-32)$.", "2"),
    ("Simplify $\\frac{\\sqrt{8}+\\sqrt{3}}{\\sqrt{2}+\\sqrt{3}}$.", "\\sqrt{6}-1"),
    ("Simplify $\\frac{\\sin 10^\\circ + \\sin 20^\\circ}{\\cos 10^\\circ + \\cos 20^\\circ}$.", "\\tan 15^\\circ"),
    ("Compute $(-3-2i)-(1+4i)$.", "-4-6i"),
]  # fmt: skip
FORMULA = re.compile(r"\$(.+?)\$|\\\[(.+?)\\\]", re.DOTALL)


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    made = MathVerifier(workers=1, percent="number")
    yield made
    made.close()


def longest_formula(problem: str) -> str:
    return max((next(filter(None, groups)) for groups in FORMULA.findall(problem)), key=len)


def test_boxing_the_longest_formula_of_the_problem_earns_nothing(verifier: MathVerifier) -> None:
    earned = []
    for problem, gold in PROBLEMS:
        question = Question("q", problem, gold)
        assert verifier.score_sync(question, [rf"\boxed{{{gold}}}"])[0].correct is True
        if verifier.score_sync(question, [rf"\boxed{{{longest_formula(problem)}}}"])[0].correct:
            earned.append(problem)
    assert earned == []


def test_a_formula_of_the_problem_may_be_the_gold_answer(verifier: MathVerifier) -> None:
    question = Question("q", "Which is larger, $2\\sqrt{3}$ or $3\\sqrt{2}-1$?", "2\\sqrt{3}")
    assert verifier.score_sync(question, ["\\boxed{2\\sqrt 3}"])[0].correct is True


@pytest.mark.parametrize(
    ("problem", "gold", "answer", "restated"),
    [
        ("A coin shows heads with probability $\\frac{1}{2}$.", "0.5", "\\frac{1}{2}", False),  # a number may recur
        ("Let $n = 12$.", "12", "n=12", False),
        ("Find $a+b$.", "7", "a+b", True),
        ("4 * 10", "40", "4*10 or 40", False),  # words around it, and the gold number
        ("4 * 10", "40", "4*10 or so", True),
        ("Write 1500 as a multiple of 10^3.", "1500", "1.5 \\times 10^3", False),
        ("Write 1500 as a multiple of 10^3.", "1500", "1.5 \\times 10^3 + 0", True),
        ("Find $a+b$.", "7", "a+b=7", False),
        ("Let $x+y=3$ and $x-y=1$.", "x=2,y=1", "x+y=3,x-y=1", True),
        ("No formula here.", "4", "2+2", False),
    ],
)
def test_what_repeats_a_problem(problem: str, gold: str, answer: str, restated: bool) -> None:
    assert restates(problem, gold, answer) is restated


#: Sums in plain text with their gold answers, and what equals them without being worked out. A model of 135 million
#: parameters that was trained on products found the first within 20 steps.
DISGUISES = [
    ("4 * 10", "40", ["4 * 10", "4*10.", "= 4 * 10", "10 * 4", "4 * 10 * 1", "1 * 4 * 10", "(4)(10)", "4(10) + 0"]),
    ("What is 12 * 7? Reply with the number only.", "84", ["12 * 7", "7 * 12", "12 × 7", "12 \\cdot 7"]),
    ("17 * 10", "170", ["17 * 10 equals 17 * 10 indeed.", "17 * 10, as was asked", "17 * 10 kilometres", "see 17*10"]),
    ("What is 12 x 7?", "84", ["12 \\times 7", "7 \\times 12"]),
    ("What is $12 \\times 7$?", "84", ["12 * 7", "7 * 12", "(7)(12)"]),
    ("Compute (5 + 3) * 2.", "16", ["(5 + 3) * 2", "2 * (3 + 5)", "2(5+3)"]),
    ("17 × 3 = ?", "51", ["17 * 3", "3 * 17"]),
    ("How much is 3^2 + 4^2", "25", ["3^2 + 4^2", "4^2+3^2"]),
    ("6 -7 *8", "-50", ["6 - 7 * 8", "-7*8+6"]),
    ("Evaluate \\(7 - 15\\)", "-8", ["7 - 15", "-15 + 7"]),
]


@pytest.mark.parametrize(("problem", "gold", "answers"), DISGUISES)
def test_a_sum_of_the_problem_is_no_answer_to_it(
    problem: str, gold: str, answers: list[str], verifier: MathVerifier
) -> None:
    boxed = [f"\\boxed{{{answer}}}" for answer in (*answers, gold)]
    verdicts = [score.correct for score in verifier.score_sync(Question("q", problem, gold), boxed)]
    assert verdicts == [False] * len(answers) + [True]


@pytest.mark.parametrize(
    ("problem", "gold", "answer"),
    [
        ("4 * 10", "40", "20 + 20"),  # other numbers: the work was done, if oddly
        ("4 * 10", "40", "4 * 10 = 40"),
        ("1 * 7 apples", "7", "7 apples"),
        ("What is 0.5 * 8?", "4", "4."),
        ("What is 10^3 + 500?", "1500", "1.5 \\times 10^3"),
        ("Write 2 * 3 * 4 as a product of primes.", "2^3 * 3", "2^3 * 3"),
        ("Simplify x - 2 + 2x.", "3x-2", "-2+3x"),
        ("A 5-year plan has 3-4 stages of 2 years. How long may it be?", "8", "2^3"),
        ("What is half of 1/4 + 1/4?", "1/4", "2/8"),
        ("He was there in 2020-2021. How old is one born in 1990 then, at least?", "30", "2020-1990"),
    ],
)
def test_right_answers_are_not_taken_for_the_problem(
    problem: str, gold: str, answer: str, verifier: MathVerifier
) -> None:
    (score,) = verifier.score_sync(Question("q", problem, gold), [f"\\boxed{{{answer}}}"])
    assert score.correct
