"""Lightning data module for the questions of a run. One batch is one rollout cycle.

The questions of a step are a function of the run's seed and the step only, so a resumed run sees the same questions as
an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, IterableDataset

from igrpo.seeding import derive_seed
from igrpo.types import Question

#: Number of the rollout step, and its S questions.
Cycle = tuple[int, list[Question]]


def questions_of_step(train: Sequence[Question], seed: int, step: int, count: int) -> list[Question]:
    """Return the ``count`` training questions of a step (steps start at 0), all different.

    Steps go through a permutation of the training split without replacement, with a new permutation every epoch. A step
    that spans two epochs repeats no question: the new epoch moves questions that the step has already used further
    back.

    Raises:
        ValueError: the training split has fewer than ``count`` questions.
    """
    size = len(train)
    if not 1 <= count <= size:
        raise ValueError(
            f"{count} questions per step, but the training split has {size}: "
            "set trainer.questions_per_step to at most that (and to at least 1)"
        )
    return [train[index] for index in _indices(size, seed, step, count)]


def replacements_of_step(train: Sequence[Question], seed: int, step: int, count: int, wanted: int) -> list[Question]:
    """Return up to ``wanted`` further training questions for a step.

    They are all different, and none is among the step's own ``count`` questions. They are drawn independently of the
    epoch, whose order does not change.
    """
    size = len(train)
    own = set(_indices(size, seed, step, count))
    drawn = Random(derive_seed("replacements", seed, step)).sample(range(size), min(size, wanted + count))
    return [train[index] for index in drawn if index not in own][:wanted]


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


class QuestionDataModule(lightning.LightningDataModule):
    """Data module that yields (rollout step, questions) for every step from ``start_step`` to ``steps`` - 1.

    A cycle includes its own number, so nothing depends on how far Lightning reads ahead. A cycle is a function of
    (seed, step). To resume, set ``start_step`` to the number of finished steps before ``fit`` iterates, in
    ``on_fit_start`` at the latest.

    Args:
        train: questions to train on.
        seed: seed of the run, which determines the order of the questions.
        questions: S, questions per step.
        steps: rollout steps of the whole run.

    Raises:
        ValueError: there is fewer than one step, or there are fewer questions than a step needs.
    """

    def __init__(self, train: Sequence[Question], seed: int, questions: int, steps: int) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"trainer.steps={steps}: a run has at least one step")
        questions_of_step(train, seed, 0, questions)
        self.train = train
        self.seed = seed
        self.questions = questions
        self.steps = steps
        self.start_step = 0

    def cycle(self, step: int) -> Cycle:
        """Return the rollout cycle number ``step``, counted from 0."""
        return step, questions_of_step(self.train, self.seed, step, self.questions)

    def replacements(self, step: int, attempts: int) -> list[Question]:
        """Return further questions for the rollout cycle ``step``, all different.

        There are ``attempts`` for each of its S questions (fewer if the split is small). Like the cycle itself, they
        are a function of (seed, step).
        """
        wanted = attempts * self.questions
        return replacements_of_step(self.train, self.seed, step, self.questions, wanted)

    def train_dataloader(self) -> DataLoader[Cycle]:
        """Return a loader that yields one item per rollout cycle, in this process."""
        return DataLoader(_Cycles(self), batch_size=None, num_workers=0, collate_fn=_unchanged)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch unchanged: it holds no tensors, and Lightning's own transfer rejects frozen dataclasses."""
        return batch


def _unchanged(cycle: Any) -> Any:
    return cycle


class _Cycles(IterableDataset[Cycle]):
    """Dataset of rollout cycles that reads ``start_step`` when iteration begins, not when the loader is created."""

    def __init__(self, module: QuestionDataModule) -> None:
        self._module = module

    def __iter__(self) -> Iterator[Cycle]:
        return (self._module.cycle(step) for step in range(self._module.start_step, self._module.steps))
