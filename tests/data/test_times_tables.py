"""The products: every one once, right, in splits that share no pair of factors."""

import pytest

from igrpo.data.splits import Splits
from igrpo.data.times_tables import times_tables_splits


def source(**changes: object) -> Splits:
    settings = {"seed": 0, "first": (2, 20), "second": (2, 12), "development": 24, "test": 48}
    return times_tables_splits(**(settings | changes))  # type: ignore[arg-type]


def factors(problem: str) -> tuple[int, int]:
    first, star, second = problem.split(" ")
    assert star == "*"
    return int(first), int(second)


def test_every_product_is_in_one_split_with_its_answer() -> None:
    made = source()
    questions = [*made.train, *made.development, *made.test]
    assert {factors(question.problem) for question in questions} == {(a, b) for a in range(2, 21) for b in range(2, 13)}
    assert len({question.id for question in questions}) == len(questions) == 19 * 11
    for question in questions:
        a, b = factors(question.problem)
        assert int(question.answer) == a * b
    assert (len(made.development), len(made.test)) == (24, 48)


@pytest.mark.parametrize("seed", range(5))
def test_a_product_and_its_mirror_image_are_in_the_same_split(seed: int) -> None:
    made = source(seed=seed)
    splits = [{frozenset(factors(q.problem)) for q in split} for split in (made.train, made.development, made.test)]
    assert not splits[0] & splits[1]
    assert not splits[0] & splits[2]
    assert not splits[1] & splits[2]


def test_splits_depend_on_the_seed_alone() -> None:
    assert source().test == source().test
    assert source().test != source(seed=1).test
    # the order within a split is no sorted one: the first questions of it are no easier than the others
    assert list(source().test) != sorted(source().test, key=lambda question: factors(question.problem))


def test_golden_questions_never_change() -> None:
    assert [question.problem for question in source().test[:4]] == ["17 * 3", "7 * 12", "18 * 6", "9 * 2"]


def test_empty_ranges_and_splits_are_errors() -> None:
    with pytest.raises(ValueError, match=r"data\.first=\[5,4\]: the range from 5 to 4 is empty"):
        source(first=(5, 4))
    with pytest.raises(ValueError, match=r"data\.development=100 and data\.test=109 of 209 products leave"):
        source(development=100, test=109)
