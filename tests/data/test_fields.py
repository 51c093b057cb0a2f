"""Where the parts of a row are, and how an answer lies in its field."""

from __future__ import annotations

import pytest

from igrpo.data.fields import UnusableRowError
from tests.data.making import mapper
from tests.data.messages import says


def answer(text: object, form: str) -> str:
    return mapper(id=None, answer_form=form).question("row 1", {"problem": "p", "answer": text}).answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a first guess is \boxed{1}. Counting again gives $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"the pairs are $\boxed{(1,2)}$ and $\boxed{(3,4)}$", "(1,2), (3,4)"),
        (r"hence $x=\boxed{ 5 }$", "5"),
        (r"which is $\boxed 2$.", "2"),
        (r"$\fbox{7}$", "7"),
    ],
)
def test_the_answer_in_the_last_box(text: str, expected: str) -> None:
    assert answer(text, "boxed") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2+2 = <<2+2=4>>4\n#### 4", "4"),
        ("#### 1\n#### 1,234,567", "1234567"),
        ("#### -3.5 ", "-3.5"),
        ("####1,2", "1,2"),
    ],
)
def test_the_answer_after_the_hashes(text: str, expected: str) -> None:
    assert answer(text, "hashes") == expected


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("4", "boxed", "data.fields.answer_form=boxed"),
        (r"\boxed{ }", "boxed", "data.fields.answer_form=boxed"),
        ("it is 4", "hashes", "data.fields.answer_form=hashes"),
        ("it is 4 ####", "hashes", "data.fields.answer_form=hashes"),
        (float("nan"), "plain", "(data.fields.answer) must be text or a number, not NaN"),
        (["4"], "plain", "(data.fields.answer) must be text or a number, not list"),
    ],
)
def test_rows_that_hold_no_answer_are_named(text: object, form: str, message: str) -> None:
    with pytest.raises(UnusableRowError, match=says("row 1: the field 'answer' ", message)):
        answer(text, form)


def test_a_column_whose_name_has_a_dot_is_taken_whole() -> None:
    row = {"a.b": "whole", "a": {"b": "path"}, "answer": "1"}
    assert mapper(id=None, problem="a.b").question("row 1", row).problem == "whole"


def test_nothing_beside_prefix_and_suffix() -> None:
    with pytest.raises(UnusableRowError, match="has no problem between its prefix and suffix"):
        mapper("Solve:", "Now.").question("row 1", {"problem": "Solve: Now.", "answer": "1"})
