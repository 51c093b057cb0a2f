"""Console output of a training run: one line that is redrawn on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from igrpo.console import footer_of
from igrpo.training.module import IGRPOModule

_LONGEST_LABEL = 20
_SHORTEST_BAR, _LONGEST_BAR = 4, 24

#: Below the first width, the label is shorter; from the second one on, the entropy is shown on a terminal, too.
_NARROW, _WIDE = 60, 110


def step_line(
    metrics: dict[str, float], accuracy: tuple[int, float] | None, step: int | None = None, *, entropy: bool = True
) -> str:
    """Format the reward and entropy of the samples that are trained (if any), and the accuracy.

    ``accuracy`` is a step and the single-shot accuracy on the development split after it. The step is named unless it
    is the current ``step``.
    """
    reward = metrics.get("train/reward")
    parts = ["no reward" if reward is None else f"reward {reward:.3f}"]
    if entropy and "train/entropy" in metrics:
        parts.append(f"entropy {metrics['train/entropy']:.3f}")
    if accuracy is not None:
        measured, value = accuracy
        parts.append(f"accuracy {value:.3f}" + ("" if measured == step else f" (step {measured})"))
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Format a duration: 0:07, 4:22, 1:04:22."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class ProgressCallback(lightning.Callback):
    """Callback that shows every step on a terminal, and prints about twenty lines per run elsewhere.

    A run that ends early because of a budget limit prints fewer lines. ``label`` says which run it is.
    """

    def __init__(self, console: Console, steps: int, label: str = "training") -> None:
        self._console, self._steps, self._label = console, steps, label
        self._footer = footer_of(console)
        self._every = max(steps // 20, 1)
        self._accuracy: tuple[int, float] | None = None
        self._step, self._metrics = 0, dict[str, float]()
        self._evaluating: tuple[str, float] | None = None
        self._begin: tuple[int, float] | None = None  # the step and time from which the time left is estimated
        self._left: tuple[float, float] | None = None  # the estimate after the newest step, and its time
        self._at_the_end: dict[str, float] = {}  # seconds of the evaluations that are repeated after the last step

    def report_accuracy(self, step: int, accuracy: float) -> None:
        """Show the newest single-shot accuracy on the development split."""
        self._accuracy = step, accuracy
        if not self._footer.is_live:
            self._console.print(f"step {step:5d}/{self._steps}  development single-shot accuracy {accuracy:.3f}")

    @contextmanager
    def evaluating(self, step: int, split: str) -> Iterator[None]:
        """Show that a split is being evaluated after a step, in place of the reward."""
        self._step, self._evaluating = step, (split, time.monotonic())
        self._footer.add(self._line)
        self._footer.refresh()
        try:
            yield
        finally:
            if self._begin is None:
                self._at_the_end[split] = time.monotonic() - self._evaluating[1]
            self._evaluating = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the bar at the current step, which is not 0 in a resumed run."""
        assert isinstance(pl_module, IGRPOModule)
        self._step = pl_module.rollout_step
        self._begin = self._step, time.monotonic()
        self._footer.add(self._line)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Advance the bar, or print a line."""
        assert isinstance(pl_module, IGRPOModule)
        self._step, self._metrics = pl_module.rollout_step, pl_module.latest
        if self._begin is not None:
            self._left = self._seconds_left(*self._begin), time.monotonic()
        is_due = self._step % self._every == 0 or pl_module.is_last
        if is_due and not self._footer.is_live:
            left = "" if pl_module.is_last else self._time_left()
            line = step_line(self._metrics, self._accuracy, self._step)
            self._console.print("  ".join(filter(None, (f"step {self._step:5d}/{self._steps}", line, left))))
        self._footer.refresh()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Remove the bar, and leave its last state as a line."""
        self._footer.remove(self._line)
        if self._footer.is_live and self._begin is not None:
            took = clock(time.monotonic() - self._begin[1])
            line = step_line(self._metrics, self._accuracy, self._step)
            self._console.print(f"{self._label}: {self._step} of {self._steps} steps in {took}, {line}")

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._footer.remove(self._line)

    def _seconds_left(self, first: int, start: float) -> float:
        """Estimate the time left from the mean of the steps so far, evaluations included."""
        each = (time.monotonic() - start) / max(self._step - first, 1)
        return each * (self._steps - self._step) + sum(self._at_the_end.values())

    def _time_left(self) -> str:
        if self._left is None:
            return ""
        seconds, then = self._left
        return f"{clock(max(seconds - (time.monotonic() - then), 0.0))} left"

    def _status(self, *, wide: bool) -> str:
        if self._evaluating is not None:
            split, start = self._evaluating
            return f"evaluating the {split} questions  {clock(time.monotonic() - start)}"
        if not self._metrics:
            return "first step" if self._step == 0 else ""
        return step_line(self._metrics, self._accuracy, self._step, entropy=wide)

    def _line(self) -> RenderableType:
        width = self._console.width
        left = "" if self._evaluating is not None else self._time_left()
        return bar_line(width, self._label, (self._step, self._steps), self._status(wide=width >= _WIDE), left)


def bar_line(width: int, label: str, counts: tuple[int, int], status: str, left: str) -> RenderableType:
    """Return a label, a bar of ``counts`` (done, total), status and time left, on one line of ``width`` cells."""
    done, total = counts
    name = Text(label, style="bold")
    name.truncate(_LONGEST_LABEL if width >= _NARROW else _LONGEST_LABEL // 2, overflow="ellipsis")
    parts = [name, Text(f"{done}/{total}"), Text(status), Text(left, style="cyan")]
    # each part takes its cells and a space; the status is cut, and the bar gets what is left
    room = width - sum(part.cell_len + 1 for part in parts) - 1
    if room < 0:
        parts[2].truncate(max(parts[2].cell_len + room, 0), overflow="ellipsis")
    bar = min(room, _LONGEST_BAR) if room >= _SHORTEST_BAR else 0
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(parts[0], *([ProgressBar(total=total, completed=done, width=bar)] * bool(bar)), *parts[1:])
    return line
