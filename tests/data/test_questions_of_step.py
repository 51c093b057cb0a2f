"""Which questions a step sees: all of an epoch once, never twice in a step, and the same after a resume."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.data.chains import chain_splits
from igrpo.data.module import questions_of_step
from igrpo.types import Question
from tests.data.messages import says


def few(size: int) -> list[Question]:
    return [Question(str(i), f"problem {i}", "1") for i in range(size)]


def ids(train: Sequence[Question], seed: int, step: int, count: int) -> list[str]:
    return [question.id for question in questions_of_step(train, seed, step, count)]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 13), st.integers(1, 13), st.integers(0, 99))
def test_an_epoch_has_every_question_once(size: int, count: int, seed: int) -> None:
    count = min(size, count)
    source, epochs = few(size), 4
    steps = [ids(source, seed, step, count) for step in range(epochs * size // count)]
    assert all(len(set(step)) == count for step in steps)
    walked = [name for step in steps for name in step]
    for epoch in range(len(walked) // size):
        assert Counter(walked[epoch * size : (epoch + 1) * size]) == Counter(str(i) for i in range(size))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 60))
def test_a_step_is_the_same_alone_as_after_all_before_it(size: int, count: int, step: int) -> None:
    count = min(size, count)
    source = few(size)
    alone = ids(source, 5, step, count)
    assert [ids(source, 5, s, count) for s in range(step + 1)][-1] == alone


def test_epochs_and_seeds_differ() -> None:
    source = few(30)
    first, second = ids(source, 0, 0, 30), ids(source, 0, 1, 30)
    assert first != second
    assert first != ids(source, 1, 0, 30)
    assert first != [str(i) for i in range(30)]


def test_golden_order() -> None:
    """A resume with a later version of the package must see the same questions."""
    assert ids(few(10), 0, 0, 4) + ids(few(10), 0, 2, 4) == ["1", "9", "4", "8", "0", "2", "6", "1"]


@pytest.mark.parametrize("count", [0, 4])
def test_a_step_that_cannot_be_filled_is_an_error(count: int) -> None:
    with pytest.raises(
        ValueError,
        match=says(f"{count} questions per step, but the training split has 3: ", "trainer.questions_per_step"),
    ):
        questions_of_step(few(3), 0, 0, count)


def test_chains_are_generated_on_access() -> None:
    source = chain_splits(seed=3, operations=2, train=50, development=6, test=7)
    assert [len(source.train), len(source.development), len(source.test)] == [50, 6, 7]
    assert source.train[49] == source.train[-1] == list(source.train)[49]
    assert source.train[2:4] == [source.train[2], source.train[3]]
    with pytest.raises(IndexError, match="question 50 of 50"):
        source.train[50]
    everything = [*source.train, *source.development, *source.test]
    assert len({question.id for question in everything}) == 63
    step = questions_of_step(source.train, 0, 3, 16)
    assert len({question.id for question in step}) == 16


def test_data_seed_sets_the_questions_and_run_seed_the_order() -> None:
    one = chain_splits(seed=0, operations=3, train=40, development=5, test=5)
    other = chain_splits(seed=1, operations=3, train=40, development=5, test=5)
    assert set(one.train).isdisjoint(other.train)
    assert {q.id for q in questions_of_step(one.train, 0, 0, 40)} == {
        q.id for q in questions_of_step(one.train, 1, 0, 40)
    }


@pytest.mark.parametrize("setting", ["operations", "train", "development", "test"])
def test_empty_splits_of_chains_are_errors(setting: str) -> None:
    sizes = {"operations": 5, "train": 9, "development": 9, "test": 9, setting: 0}
    with pytest.raises(ValueError, match=rf"^data\.{setting}=0: it must be at least 1$"):
        chain_splits(seed=0, **sizes)
