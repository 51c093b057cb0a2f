"""Where the answer stands in a completion."""

from __future__ import annotations

import time

import pytest

from igrpo.rewards.math.extraction import ANSWER_FORMATS, extract_answer, extract_gold, last_boxed


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed {42}", "42"),
        (r"\fbox{42}", "42"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{4} and then, after a long check of every single step, \boxed{3}", "3"),
        (r"first \boxed{1}. Then \boxed{2}", "2"),
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{1}, \boxed{2}, \boxed{3}", "1, 2, 3"),
        (r"$\boxed{(2, 2)} \quad \text{and} \quad \boxed{(6, 2)}$", "(2, 2), (6, 2)"),
        (r"\boxed{1}\boxed{2}", "1, 2"),
        (r"\boxed{7}, \boxed{7}", "7"),
        (r"\boxed{1", None),
        (r"\boxed{1} but \boxed{2", "1"),
        ("no box", None),
        (r"\boxedx{1}", None),
    ],
)
def test_boxes(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>\\boxed{1}</think>\\boxed{2}", "2"),
        ("<think>\\boxed{1}</think> nothing.", "nothing."),
        ("<answer>5</answer>", "5"),
        ("<answer>1</answer> <answer>2</answer>", "2"),
        ("<answer>so \\boxed{5}</answer>", "5"),
        ("The answer is $x+1$.", "x+1"),
        ("the area is 3 and\nFinal Answer: The final answer is $(0, 1)$. I hope it is correct.", "(0, 1)"),
        ("Answer $$ \n 9 \n $$", "9"),
        ("The volume of $ABC$ is 120.", "120"),
        ("it increases by 100%.", "100%"),
        ("My reply is 28 percent", "28 percent"),
        ("3 + 4 = 7\n7", "7"),
        ("#### 72", "72"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        ("   \n ", None),
        ("", None),
    ],
)
def test_all_formats_in_order(text: str, answer: str | None) -> None:
    found = extract_answer(text, ANSWER_FORMATS)
    assert (found.strip() if found else found) == answer


def test_a_format_that_is_not_asked_for_finds_nothing() -> None:
    assert extract_answer("<answer>5</answer>", ("boxed",)) is None
    assert extract_answer(r"\boxed{5}", ("answer_tag",)) is None


def test_golds_may_be_whole_solutions() -> None:
    assert extract_gold(r"Since $2+2=4$, we have $\boxed{4}$.") == "4"
    assert extract_gold(r" \frac{1}{2} ") == r"\frac{1}{2}"


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 20_000,
        "\\boxed{1} " * 50_000,
        "$" * 100_001,
        "the answer is " * 50_000,
        "7" * 1_000_000,
        "{" * 10**6,
    ],
)
def test_endless_texts_cost_little(text: str) -> None:
    started = time.process_time()
    extract_answer(text, ANSWER_FORMATS)
    assert time.process_time() - started < 2
