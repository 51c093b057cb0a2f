"""Console output of a run: a progress bar on a terminal, occasional lines elsewhere."""

from __future__ import annotations

from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from igrpo.training.module import IGRPOModule


def step_line(metrics: dict[str, float], accuracy: float | None) -> str:
    """Format the reward and entropy of the samples that are trained (if any), and the accuracy."""
    reward = metrics.get("train/reward")
    parts = ["no reward" if reward is None else f"reward {reward:.3f}"]
    if "train/entropy" in metrics:
        parts.append(f"entropy {metrics['train/entropy']:.3f}")
    if accuracy is not None:
        parts.append(f"development accuracy {accuracy:.3f}")
    return "  ".join(parts)


class ProgressCallback(lightning.Callback):
    """Callback that shows every step on a terminal, and prints about twenty lines per run elsewhere.

    A run that ends early because of a budget limit prints fewer lines.
    """

    def __init__(self, console: Console, steps: int) -> None:
        self._console, self._steps = console, steps
        self._every = max(steps // 20, 1)
        self._accuracy: float | None = None
        self._bar = Progress(
            TextColumn("training", style="bold", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("first evaluation", total=steps)

    def report_accuracy(self, step: int, accuracy: float) -> None:
        """Show the newest single-shot accuracy on the development split."""
        self._accuracy = accuracy
        if not self._console.is_terminal:
            self._console.print(f"step {step:5d}/{self._steps}  development single-shot accuracy {accuracy:.3f}")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the progress bar at the current step, which is not 0 in a resumed run."""
        assert isinstance(pl_module, IGRPOModule)
        self._bar.update(self._task, completed=pl_module.rollout_step)
        self._bar.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Advance the progress bar, or print a line."""
        assert isinstance(pl_module, IGRPOModule)
        step, line = pl_module.rollout_step, step_line(pl_module.latest, self._accuracy)
        self._bar.update(self._task, completed=step, description=line)
        if not self._console.is_terminal and (step % self._every == 0 or pl_module.is_last):
            self._console.print(f"step {step:5d}/{self._steps}  {line}")

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._bar.stop()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._bar.stop()
