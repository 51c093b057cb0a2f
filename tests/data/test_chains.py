"""The chains against hand-worked answers, an independent evaluator and the promises about their splits."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.data.chains import (
    SPLITS,
    chain_question,
    clean_solution,
    parse_chain,
    split_of_problem,
    teacher_solution,
)
from igrpo.types import Question
from tests.data.messages import says

# Worked by hand, left to right: 6-7=-1=9, 9-1=8, 8-5=3, 3-9=-6=4, 4*8=32=2.
EXAMPLE = Question("example", "6 -7 -1 -5 -9 *8", "2")


def naive_answer(problem: str) -> str:
    """Left-to-right evaluation by Python's own arithmetic on the integers, reduced only at the end."""
    value, *links = problem.split()
    total = int(value)
    for link in links:
        total = eval(f"total {link}")
    return str(total % 10)


def boxed(solution: str) -> str:
    return solution.rpartition("\\boxed{")[2].removesuffix("}")


def test_the_example_of_the_specification() -> None:
    assert clean_solution(EXAMPLE) == "6-7=9-1=8-5=3-9=4*8=2\\boxed{2}"


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**40), st.sampled_from(SPLITS), st.integers(0, 10**6), st.integers(1, 8))
def test_a_chain_is_a_pure_function_with_its_right_answer(seed: int, split: str, index: int, operations: int) -> None:
    question = chain_question(seed, split, index, operations)
    assert question == chain_question(seed, split, index, operations)
    assert question.answer == naive_answer(question.problem) == boxed(clean_solution(question))
    assert split_of_problem(question.problem) == split
    first, links = parse_chain(question.problem)
    assert 0 <= first <= 9
    assert len(links) == operations
    assert all(operator in "+-*" and 1 <= operand <= 9 for operator, operand in links)


def test_golden_questions_never_change() -> None:
    """A changed generator would change every published number: it must be noticed."""
    assert chain_question(0, "train", 0, 5).problem == "8 -5 +5 *6 *5 *1"
    assert chain_question(0, "test", 0, 5).problem == "6 *5 +4 -3 *7 -2"


def test_splits_share_no_problem_whatever_the_seed() -> None:
    # Two operations: 10 * (3 * 9)^2 = 7,290 problems, so 1,500 draws a split would collide without the rule.
    problems = {
        split: {chain_question(seed, split, index, 2).problem for seed in (0, 1) for index in range(750)}
        for split in SPLITS
    }
    for split in SPLITS:
        for other in SPLITS:
            if other != split:
                assert not problems[split] & problems[other]
    ids = [chain_question(seed, split, i, 2).id for seed in (0, 1) for split in SPLITS for i in range(20)]
    assert len(set(ids)) == len(ids)


def test_the_training_questions_are_many() -> None:
    problems = {chain_question(0, "train", index, 5).problem for index in range(2000)}
    assert len(problems) > 1990


def test_the_teacher_is_right_in_about_38_percent() -> None:
    rng = Random(0)
    questions = [chain_question(0, "warm_start", index, 5) for index in range(4000)]
    right = [boxed(teacher_solution(question, rng, 0.1, 0.7)) == question.answer for question in questions]
    # Standard error sqrt(.38 * .62 / 4000) = .008; counterfactual rates lie far outside the band.
    assert 0.355 < sum(right) / len(right) < 0.415


def test_teacher_without_mistakes_is_clean() -> None:
    assert teacher_solution(EXAMPLE, Random(3), 0.0, 0.0) == clean_solution(EXAMPLE)


def test_a_misconception_carries_on_to_later_steps() -> None:
    # 6-7 -> |6-7| = 1; 1-1 = 0 borrows nothing; 0-5 -> 5; 5-9 -> 4; 4*8 = 2.
    assert teacher_solution(EXAMPLE, Random(0), 0.0, 1.0) == "6-7=1-1=0-5=5-9=4*8=2\\boxed{2}"


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_a_certain_slip_makes_every_step_wrong(seed: int) -> None:
    solution = teacher_solution(EXAMPLE, Random(seed), 1.0, 0.0)
    values = [int(part[0]) for part in solution.split("=")[1:]]
    value, links = parse_chain(EXAMPLE.problem)
    for (operator, operand), result in zip(links, values, strict=True):
        assert result != eval(f"{value}{operator}{operand}") % 10
        value = result
    assert boxed(solution) == str(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "tset", 0, 5), "unknown split 'tset'"),
        ((0, "test", -1, 5), "question -1 of the chains"),
        ((0, "test", 0, 0), "data.operations=0"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[int, str, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=says(message)):
        chain_question(*arguments)


@pytest.mark.parametrize("text", ["", "6", "6-7", "6 - 7", "6 -17", "6 /7", "6 -7 ", "6 -7\n"])
def test_a_text_that_is_no_chain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a chain of digits"):
        parse_chain(text)
