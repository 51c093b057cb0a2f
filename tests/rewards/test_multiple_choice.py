"""The option that a completion names, in many written forms, right, wrong and hedged."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.rewards.multiple_choice import MultipleChoiceReward, chosen_option
from igrpo.rewards.multiple_choice_text import named_option
from igrpo.types import Question
from tests.rewards.helpers import completion

OPTIONS = ("5 m/s", "A metal compound", "10 m/s", r"$\frac{1}{2}$")
ALL = ("boxed", "answer_tag", "last_line")

#: Forms of the third option, C) 10 m/s.
THIRD = [
    r"\boxed{C}", r"\boxed{\text{C}}", r"\boxed{\textbf{(C)}}", r"\boxed{(c)}", r"\boxed{c}", r"\boxed{C) 10 m/s}",
    r"\boxed{10 m/s}", r"\boxed{10\ \text{m/s}}", r"\boxed{\text{(C) } 10 \text{ m/s}}", r"The answer is $\boxed{\mathrm{C}}$.",
    "Thus, the answer is:\n$$\\boxed{C}$$\n", r"\boxed{\text{Option C}}", r"\boxed{C} is the answer, as 10 m/s is faster.",
    "<answer>C</answer>", "<answer>\nC\n</answer>", r"<answer>\boxed{C}</answer>", "<answer>(C) 10 m/s</answer>",
    "<answer>The answer is C.</answer>",
    "Answer: C", "**Answer: C**", "**Answer:** C", "answer: (c)", "Answer: \\text{C}", "Answer:\nC", "Answer:\n\n**C**", "Answer: C.10 m/s",
    "The final answer is **(C)**.", "The correct option is C.", "The best choice: (C)", "My choice is C", "answer = C",
    "The answer is C because the others are too slow.", "The answer is (C) 10 m/s.", "Therefore the answer is option C: 10 m/s",
    "Answer: C\n\nI hope that helps!", "Answer: C\nAnswer: C", "The answer is 10 m/s.", "So, C is correct.", "C is the right choice",
    "(C)", "[C]", "C", "C.", "C)", "C:", r"\text{C}", r"$\text{C}$", "C) 10 m/s", "10 m/s", "Option C", "Ｃ", "Ⓒ", "\u200bC\u200b",
    "<think>Answer: A</think>Answer: C", "A is wrong.\nB is wrong.\nC", r"\boxed{A}? Wait, no. The answer is C.",
    r"\boxed{A} was a slip. So I take \boxed{C}",
]  # fmt: skip
SECOND = [
    r"\boxed{B}", r"\boxed{A metal compound}", r"\boxed{B) A metal compound}", "A metal compound", "Answer: a metal compound.",
    "Answer: B. A metal compound",
]  # fmt: skip
FOURTH = [
    r"\boxed{\frac12}",
    r"\boxed{\dfrac{1}{2}}",
    r"\boxed{D) \frac{1}{2}}",
    "Answer: D) $\\frac{1}{2}$",
    r"$\frac{1}{2}$",
]
#: Several options, a denied one, a contradiction, or none.
NONE = [
    r"\boxed{A} and \boxed{C}", r"\boxed{A}, \boxed{C}", r"\boxed{A, C}", r"\boxed{AC}", r"\boxed{A or C}", r"\boxed{A/C}",
    r"\boxed{C) 5 m/s}", r"\boxed{5 m/s or 10 m/s}", r"\boxed{\text{not } C}", r"\boxed{E}", r"\boxed{}", r"\boxed{7 m/s}",
    "<answer>A</answer> <answer>C</answer>", "<answer>A and C</answer>", "<answer></answer>",
    "Answer: A or C", "Answer: C and A", "Answer: C, not A", "Answer: A, B, C, D", "Answer: C/A", "Answer: either", "Answer: (A)(C)",
    "Answer: C\nAnswer: A", "The answer is C. The answer is A.", "The answer is not C", "Answer: C & A", "Answer: C, b",
    "", " \n", "E", "I do not know", "C elegans is a worm", "A metal thing", "C. elegans is a worm", "<think>Answer: C", "С", "CC",
]  # fmt: skip


def read(text: str) -> str | None:
    return chosen_option(text, OPTIONS, ALL)


@pytest.mark.parametrize(
    ("texts", "letter"), [(THIRD, "C"), (SECOND, "B"), (FOURTH, "D"), (NONE, None)], ids=["C", "B", "D", "none"]
)
def test_written_forms(texts: list[str], letter: str | None) -> None:
    assert {text: read(text) for text in texts} == dict.fromkeys(texts, letter)


def test_only_the_formats_that_count_are_read() -> None:
    both = r"<answer>A</answer> \boxed{C}"
    assert chosen_option(both, OPTIONS, ["boxed"]) == "C"
    assert chosen_option(both, OPTIONS, ["answer_tag"]) == "A"
    assert chosen_option(both, OPTIONS, ["last_line"]) is None
    assert chosen_option("Answer: C", OPTIONS, ["boxed", "answer_tag"]) is None
    assert chosen_option(r"\boxed{A}" + "\nAnswer: C", OPTIONS, ["boxed"]) == "A"


def test_options_that_are_letters() -> None:
    """A bare capital letter is the letter; a small one that is an option's text is that option."""
    assert named_option("B", ["B", "A"]) == "B"
    assert named_option("c", ["c", "v"]) == "A"
    assert named_option("v", ["c", "v"]) == "B"
    assert named_option("b", ["5", "6"]) == "B"


def test_texts_that_several_options_share_name_none() -> None:
    assert named_option("5", ["5", "5", "6"]) is None
    assert named_option("P", ["p", "P"]) == "B"  # spelling counts first
    assert named_option("x < 1", ["x<1", "x < 1"]) == "B"


def test_letters_without_known_options() -> None:
    assert [named_option(text, ()) for text in ("Z", "(d)", "12", "E or F")] == ["Z", "D", None, None]


HOSTILE = [
    "(" * 100_000, r"\boxed{" * 20_000, r"\boxed{" + "{" * 50_000, "answer is " * 20_000, "Answer: " + "A" * 100_000,
    "\\text{" * 30_000, "<answer>" * 20_000, "the final correct answer " * 5_000, "\u202e" * 50_000, "a\u0300" * 30_000,
    "\ud800C", "Answer: " + "is " * 30_000, "*" * 100_000, "\x00C\x00?", "C" * 100_000, "Answer: \ufdfa" * 3_000,
]  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_texts_name_none(number: int) -> None:
    assert read(HOSTILE[number]) is None


@given(st.text(alphabet=st.characters(), max_size=300), st.sampled_from(["", r"\boxed{", "Answer: ", "<answer>"]))
def test_no_text_raises_and_what_is_named_exists(text: str, start: str) -> None:
    assert read(f"{start}{text}") in {*"ABCD", None}


@pytest.mark.parametrize("joint", [" and ", ", ", " or ", "/", " ", "; ", " & ", " + "])
def test_two_letters_in_one_statement_name_none(joint: str) -> None:
    forms = (r"\boxed{%s%s%s}", r"\boxed{\text{%s%s%s}}", "Answer: (%s)%s(%s)", "<answer>%s%s%s</answer>", "%s%s%s")
    pairs = [(one, other) for one in "ABCD" for other in "ABCD" if one != other]
    found = {text: read(text) for form in forms for one, other in pairs if (text := form % (one, joint, other))}
    assert found == dict.fromkeys(found)


def test_scores() -> None:
    made = MultipleChoiceReward()
    question = Question("q", "Which?", "C", OPTIONS)
    texts = [r"\boxed{C}", "10 m/s", "Answer: A", "A or C"]
    scores = asyncio.run(made.score(question, [completion(text) for text in texts]))
    made.close()
    assert [(one.value, one.correct, one.outcome, one.answer) for one in scores] == [
        (1.0, True, "right", "C"), (1.0, True, "right", "C"), (0.0, False, "wrong", "A"), (0.0, False, "unparsable", None)
    ]  # fmt: skip


@pytest.mark.parametrize(("answer", "options"), [("42", ()), ("", ()), ("E", OPTIONS), ("AB", OPTIONS)])
def test_an_answer_that_is_no_letter_is_refused(answer: str, options: tuple[str, ...]) -> None:
    with pytest.raises(
        ValueError, match=rf"^the answer '{answer}' is no letter of an option: reward=multiple_choice is"
    ):
        asyncio.run(MultipleChoiceReward().score(Question("q", "p", answer, options), [completion("A")]))
