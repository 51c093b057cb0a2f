"""Rows with options become lettered questions whose answer is the right letter."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from igrpo.data.fields import UnusableRowError
from igrpo.data.mapper import RowMapper
from igrpo.types import Question
from tests.data.making import mapper
from tests.data.messages import says

LISTED: dict[str, Any] = {"options": ["options"], "answer_form": "letter"}
SPREAD: dict[str, Any] = {"options": ["right", "bad1", "bad2"], "answer": "right", "answer_form": "option"}
ROW = {"id": "r1", "problem": "Which is even?", "options": ["3", "5", " 8 "], "answer": "C"}


def asked(made: RowMapper, row: dict[str, Any]) -> Question:
    return made.question("row 1", row)


def test_options_are_lettered_in_the_order_of_the_data() -> None:
    question = asked(mapper(**LISTED), ROW)
    assert question.problem == "Which is even?\n\nA) 3\nB) 5\nC) 8\n\nAnswer with the letter of the right option."
    assert (question.answer, question.options) == ("C", ("3", "5", "8"))
    assert mapper(**LISTED).paths == {"id", "problem", "answer", "options"}


@pytest.mark.parametrize(
    ("form", "answer", "letter"),
    [("letter", "b", "B"), ("index", 1, "B"), ("index", "0", "A"), ("option", "8", "C"), ("option", " 5", "B")],
)
def test_forms_of_the_answer(form: str, answer: object, letter: str) -> None:
    assert asked(mapper(**LISTED | {"answer_form": form}), ROW | {"answer": answer}).answer == letter


def test_shuffled_options_depend_on_the_id_alone() -> None:
    made = mapper(**SPREAD, options_order="shuffled")
    row = {"problem": "Which?", "right": "yes", "bad1": "no", "bad2": "no"}  # two wrong options may be the same
    questions = [asked(made, row | {"id": f"q{i}"}) for i in range(300)]
    for one in questions:
        assert one.options["ABC".index(one.answer)] == "yes"
        assert sorted(one.options) == ["no", "no", "yes"]
    assert [asked(made, row | {"id": f"q{i}"}) for i in range(300)] == questions
    counts = Counter(one.answer for one in questions)
    assert min(counts.values()) > 70, counts  # 100 each; 3.7 standard deviations
    assert asked(made, row | {"id": "q0", "problem": "Other words?"}).options == questions[0].options


def test_without_an_id_the_options_are_part_of_it() -> None:
    made = mapper(**SPREAD, id=None, options_order="shuffled")
    row = {"problem": "Which?", "right": "yes", "bad1": "no", "bad2": "maybe"}
    rows = [("row 1", row), ("row 2", row | {"bad2": "never"})]
    assert len(made.questions(rows, "x")) == 2


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"answer": "D"}, "names 0 of 3 options, not one: 'D'"),
        ({"answer": "AB"}, "names 0 of 3 options, not one: 'AB'"),
        ({"options": ["3"]}, "gives 1 options, not 2 to 26"),
        ({"options": [str(i) for i in range(27)]}, "gives 27 options, not 2 to 26"),
        ({"options": "3"}, "gives 1 options"),
        ({"options": ["3", None]}, "must be text or a number, not null"),
        ({"options": ["3", " "]}, "is empty"),
    ],
)
def test_unusable_options(changes: dict[str, Any], phrase: str) -> None:
    with pytest.raises(UnusableRowError, match=says("row 1: ", phrase)):
        asked(mapper(**LISTED), ROW | changes)


def test_a_right_option_that_is_there_twice_is_not_guessed() -> None:
    row = ROW | {"options": ["8", "8", "3"], "answer": "8"}
    with pytest.raises(UnusableRowError, match=says("row 1: ", "answer_form=option) names 2 of 3 options")):
        asked(mapper(**LISTED | {"answer_form": "option"}), row)


def test_a_missing_field_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"there is no field 'bad2' \(data\.fields\.options\)"):
        asked(mapper(**SPREAD), {"id": "1", "problem": "p", "right": "1", "bad1": "2"})


def test_a_question_of_a_file_is_one_again() -> None:
    assert Question("1", "p", "A", options=["x", "y"]) == Question("1", "p", "A", ("x", "y"))  # type: ignore[arg-type]
