"""Lightning data module for the questions of a run. One batch is one rollout cycle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, IterableDataset

from igrpo.data.sources import Source, questions_of_step, replacements_of_step
from igrpo.types import Question

#: Number of the rollout step, and its S questions.
Cycle = tuple[int, list[Question]]


class QuestionDataModule(lightning.LightningDataModule):
    """Data module that yields (rollout step, questions) for every step from ``start_step`` to ``steps`` - 1.

    A cycle includes its own number, so nothing depends on how far Lightning reads ahead. A cycle is a function of
    (seed, step). To resume, set ``start_step`` to the number of finished steps before ``fit`` iterates, in
    ``on_fit_start`` at the latest.

    Args:
        source: source of the questions.
        seed: seed of the run, which determines the order of the questions.
        questions: S, questions per step.
        steps: rollout steps of the whole run.

    Raises:
        ValueError: there is fewer than one step, or the source has fewer questions than a step needs.
    """

    def __init__(self, source: Source, seed: int, questions: int, steps: int) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"trainer.steps={steps}: a run has at least one step")
        questions_of_step(source, seed, 0, questions)
        self.source = source
        self.seed = seed
        self.questions = questions
        self.steps = steps
        self.start_step = 0

    def cycle(self, step: int) -> Cycle:
        """Return the rollout cycle number ``step``, counted from 0."""
        return step, questions_of_step(self.source, self.seed, step, self.questions)

    def replacements(self, step: int, attempts: int) -> list[Question]:
        """Return further questions for the rollout cycle ``step``, all different.

        There are ``attempts`` for each of its S questions (fewer if the split is small). Like the cycle itself, they
        are a function of (seed, step).
        """
        wanted = attempts * self.questions
        indices = replacements_of_step(self.source, self.seed, step, self.questions, wanted)
        return [self.source.train[index] for index in indices]

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
