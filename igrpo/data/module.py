"""The data of a run for Lightning: one batch is one rollout cycle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, IterableDataset

from igrpo.data.sources import Source, questions_of_step, replacements_of_step
from igrpo.types import Question

#: The number of the rollout step, and its S questions.
Cycle = tuple[int, list[Question]]


class QuestionDataModule(lightning.LightningDataModule):
    """Yields (rollout step, its questions) for every step from ``start_step`` up to, not including, ``steps``.

    A cycle carries its own number, so nothing depends on how far Lightning has read ahead; and it is a function of
    (seed, step), so resuming means setting ``start_step`` (to the number of finished steps) before ``fit`` iterates,
    in ``on_fit_start`` at the latest.

    Args:
        source: where the questions come from.
        seed: of the run; decides their order.
        questions: S, questions a step.
        steps: rollout steps of the whole run.

    Raises:
        ValueError: fewer than one step, or more questions a step than the source has.
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
        """The rollout cycle number ``step``, counted from 0."""
        return step, questions_of_step(self.source, self.seed, step, self.questions)

    def replacements(self, step: int, attempts: int) -> list[Question]:
        """Further questions for the rollout cycle ``step``: ``attempts`` for each of its S places (fewer in a small
        split), all different, and a function of (seed, step) as its own are."""
        wanted = attempts * self.questions
        indices = replacements_of_step(self.source, self.seed, step, self.questions, wanted)
        return [self.source.train[index] for index in indices]

    def train_dataloader(self) -> DataLoader[Cycle]:
        """One item a rollout cycle, in this process."""
        return DataLoader(_Cycles(self), batch_size=None, num_workers=0, collate_fn=_unchanged)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Nothing: a cycle holds no tensors, and Lightning's own transfer refuses frozen dataclasses."""
        return batch


def _unchanged(cycle: Any) -> Any:
    return cycle


class _Cycles(IterableDataset[Cycle]):
    """Looks up ``start_step`` when the iteration begins, not when the loader is made."""

    def __init__(self, module: QuestionDataModule) -> None:
        self._module = module

    def __iter__(self) -> Iterator[Cycle]:
        return (self._module.cycle(step) for step in range(self._module.start_step, self._module.steps))
