"""One Lightning batch is one rollout cycle, and resuming is setting its number."""

from typing import Any

import lightning
import pytest
import torch

from igrpo.data.chains import chain_splits
from igrpo.data.module import QuestionDataModule, questions_of_step

TRAIN = chain_splits(seed=0, operations=3, train=50, development=2, test=2).train


class Recorder(lightning.LightningModule):
    """Writes down what it sees; its position is set in on_fit_start, as late as it may be."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.automatic_optimization = False
        self.seen: list[Any] = []

    def on_fit_start(self) -> None:
        self.trainer.datamodule.start_step = self.start  # type: ignore[attr-defined]

    def training_step(self, batch: Any, index: int) -> None:
        self.seen.append(batch)
        self.optimizers().step()  # type: ignore[union-attr]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(start: int) -> list[Any]:
    recorder = Recorder(start)
    trainer = lightning.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu",
    )  # fmt: skip
    trainer.fit(recorder, datamodule=QuestionDataModule(TRAIN, seed=4, questions=16, steps=7))
    return recorder.seen


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_sees_the_remaining_cycles() -> None:
    whole = fit(0)
    assert whole == [(step, questions_of_step(TRAIN, 4, step, 16)) for step in range(7)]
    assert fit(5) == whole[5:]


def test_impossible_plans_are_errors() -> None:
    with pytest.raises(ValueError, match=r"^trainer\.steps=0: a run has at least one step$"):
        QuestionDataModule(TRAIN, seed=0, questions=4, steps=0)
    with pytest.raises(ValueError, match=r"^51 questions per step, but the training split has 50"):
        QuestionDataModule(TRAIN, seed=0, questions=51, steps=1)
