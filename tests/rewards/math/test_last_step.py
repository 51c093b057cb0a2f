r"""Whether the boxed number is what the last step before it says: cases of the small task and of plain mathematics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.data.chains import chain_question, clean_solution
from igrpo.rewards.math.last_step import answer_differs

SAME = [
    r"6-7=9-1=8-5=3-9=4*8=2\boxed{2}",
    r"so $x = 3 + 4 = 7$ metres. The answer is \boxed{7}.",
    r"\[ x = \frac{14}{2} = 7 \] Hence $\boxed{x = 7}$",
    r"= 7. \boxed{7}",
    r"= 7, and so \boxed{7}",
    r"total = 1,234 apples \boxed{1234}",
    r"total=$1,234$ \boxed{1{,}234}",
    r"p = 0.5 \boxed{\frac{1}{2}}",
    r"p = \dfrac{1}{2} \boxed{0.5}",
    r"p = 1/2, \boxed{\dfrac12}",
    r"x = -3 \fbox{-3}",
    r"x = −3 \boxed{-3}",
    r"so 50\% = 50\% \boxed{50}",
    r"pi is about = 3.14159265 \approx 3.14 \boxed{3.14}",
    r"a = 1 \boxed{9} no, a = 2 \boxed{2}",  # the last box, and the last step before it
    r"<think>2+2=4</think> \boxed{4}",
    r"x=7\boxed{7} which is not = 8",  # a step after the box is none
]
DIFFERENT = [
    r"6-7=9-1=8-5=3-9=4*8=2\boxed{7}",
    r"so $x = 3 + 4 = 7$ metres. The answer is \boxed{8}.",
    r"m=3 and n=4, hence \boxed{7}",  # an honest one: what means something is how often
    r"p = 0.5 \boxed{\frac{1}{3}}",
    r"x = -3 \boxed{3}",
    r"x = 7\boxed{7} and again \boxed{8}",
]
SILENT = [
    "",
    "no box = 7",
    r"\boxed{7}",
    r"it is clear that \boxed{7}",
    r"x = 7 \boxed{x + 1}",
    r"x = 7 \boxed{\text{yes}}",
    r"x = 7 \boxed{7, 8}",
    r"x = 7 \boxed{7",  # truncated
    r"x = 7 \boxed{",
    r"4*8\boxed{2}",
    r"x = 4*8\boxed{2}",  # no result
    r"x = 4 + 8 \boxed{12}",
    r"x = 4 \cdot 8 \boxed{32}",
    r"y = 2x \boxed{2}",
    r"y = 2^3 \boxed{8}",
    r"y = \sqrt{4} \boxed{2}",
    r"y = 7 \times 2 \boxed{14}",
    r"x \neq 7, x >= 7, x <= 7, x := 7 \boxed{8}",
    "x = " + "9" * 31 + r" \boxed{9}",
    r"x = 7 " + "words " * 400 + r"\boxed{8}",  # too far before the box to be its step
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [*((text, False) for text in SAME), *((text, True) for text in DIFFERENT), *((text, None) for text in SILENT)],
)
def test_cases(text: str, expected: bool | None) -> None:
    assert answer_differs(text) is expected


@pytest.mark.parametrize("number", range(20))
def test_the_solutions_of_the_small_task_say_what_they_compute(number: int) -> None:
    question = chain_question(0, "train", number, operations=3)
    text = clean_solution(question)
    assert answer_differs(text) is False
    assert answer_differs(text.replace(f"boxed{{{question.answer}}}", f"boxed{{{(int(question.answer) + 1) % 10}}}"))


@given(st.text(alphabet=r"=\boxed{}0123456789.,/-+*$ frac≈a", max_size=200))
def test_no_text_is_an_error(text: str) -> None:
    assert answer_differs(text) in {True, False, None}
    assert answer_differs(text + r" =5\boxed{5}") is False
    assert answer_differs(text + r" =5\boxed{6}") is True


def test_long_texts_are_read_from_their_end() -> None:
    assert answer_differs("x = 1 " * 100_000 + r"= 2 \boxed{3}") is True
    assert answer_differs(r"\boxed{" * 20_000) is None
    assert answer_differs("9" * 10_000 + "=" + "9" * 10_000 + r"\boxed{" + "9" * 10_000 + "}") is None
