"""Sources of questions: the synthetic chains, JSONL files, Hugging Face data sets.

A source has three splits that share no question. The questions of a step are a function of the run's seed and the step
only, so a resumed run sees the same questions as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random
from typing import Protocol, overload, runtime_checkable

from igrpo.data.chains import chain_question
from igrpo.data.fields import Fields
from igrpo.data.hub import HubSource
from igrpo.data.jsonl import JsonlSource
from igrpo.seeding import derive_seed
from igrpo.types import Question

__all__ = ["ChainSource", "Fields", "HubSource", "JsonlSource", "Source", "questions_of_step", "replacements_of_step"]


@runtime_checkable
class Source(Protocol):
    """Questions with gold answers, in splits that share no question."""

    @property
    def train(self) -> Sequence[Question]:
        """Questions to train on."""
        ...

    @property
    def development(self) -> Sequence[Question]:
        """Held-out questions for choosing settings and checkpoints."""
        ...

    @property
    def test(self) -> Sequence[Question]:
        """Held-out questions for reported results."""
        ...


def questions_of_step(source: Source, seed: int, step: int, count: int) -> list[Question]:
    """Return the ``count`` training questions of a step (steps start at 0), all different.

    Steps go through a permutation of the training split without replacement, with a new permutation every epoch. A step
    that spans two epochs repeats no question: the new epoch moves questions that the step has already used further
    back.

    Raises:
        ValueError: the training split has fewer than ``count`` questions.
    """
    size = len(source.train)
    if not 1 <= count <= size:
        raise ValueError(
            f"{count} questions a step, but the training split has {size}: "
            "lower the number of questions a step to at most that (and to at least 1)"
        )
    return [source.train[index] for index in _indices(size, seed, step, count)]


def replacements_of_step(source: Source, seed: int, step: int, count: int, wanted: int) -> list[int]:
    """Return indices of up to ``wanted`` further training questions for a step.

    They are all different, and none is among the step's own ``count`` questions. They are drawn independently of the
    epoch, whose order does not change.
    """
    size = len(source.train)
    own = set(_indices(size, seed, step, count))
    drawn = Random(derive_seed("replacements", seed, step)).sample(range(size), min(size, wanted + count))
    return [index for index in drawn if index not in own][:wanted]


def _indices(size: int, seed: int, step: int, count: int) -> list[int]:
    positions = range(step * count, (step + 1) * count)
    return [_order(seed, at // size, size, count)[at % size] for at in positions]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, size: int, count: int) -> tuple[int, ...]:
    """Return the order of an epoch's questions for steps of ``count`` questions."""
    # Moving questions back changes fewer than the first `count` places, and the next epoch depends only on the last
    # ones. With at least two steps' questions, the permutation of the epoch before can therefore be used unchanged.
    first = max(epoch - 1, 0) if size >= 2 * count else 0
    order = _permutation(seed, first, size)
    for number in range(first + 1, epoch + 1):
        taken = (number * size) % count  # places used by the step that began in the epoch before
        before = set(order[size - taken :])
        order = _permutation(seed, number, size)
        if taken:
            head = [index for index in order if index not in before][: count - taken]
            placed = set(head)
            order = head + [index for index in order if index not in placed]
    return tuple(order)


def _permutation(seed: int, epoch: int, size: int) -> list[int]:
    order = list(range(size))
    Random(derive_seed("questions of an epoch", seed, epoch)).shuffle(order)
    return order


class _Chains(Sequence[Question]):
    """Split of the chains that generates its questions on access."""

    def __init__(self, seed: int, split: str, size: int, operations: int) -> None:
        self._seed, self._split, self._size, self._operations = seed, split, size, operations

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Question: ...
    @overload
    def __getitem__(self, index: slice) -> list[Question]: ...
    def __getitem__(self, index: int | slice) -> Question | list[Question]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._size))]
        if not -self._size <= index < self._size:
            raise IndexError(f"question {index} of {self._size}")
        return chain_question(self._seed, self._split, index % self._size, self._operations)

    def __iter__(self) -> Iterator[Question]:
        return (self[index] for index in range(self._size))


class ChainSource:
    """Synthetic chains of :mod:`igrpo.data.chains`, which need no download and are unlimited in number.

    Args:
        seed: seed of the questions (not of the order in which a run sees them).
        operations: operations per chain; more are harder.
        train, development, test: number of questions of each split.

    Raises:
        ValueError: there is no operation, or a split is empty.
    """

    def __init__(self, seed: int, operations: int, train: int, development: int, test: int) -> None:
        for name, size in (("operations", operations), ("train", train), ("development", development), ("test", test)):
            if size < 1:
                raise ValueError(f"data.{name}={size}: it must be at least 1")
        self.train: Sequence[Question] = _Chains(seed, "train", train, operations)
        self.development: Sequence[Question] = tuple(_Chains(seed, "development", development, operations))
        self.test: Sequence[Question] = tuple(_Chains(seed, "test", test, operations))
