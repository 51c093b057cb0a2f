"""The Tracker with the face of a Lightning logger."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from igrpo.runs.run_directory import RunStatus
from igrpo.runs.tracker import Tracker


class RunLogger(Logger):
    """Hands what Lightning logs to a Tracker. Only rank 0 logs: other ranks need no RunLogger.

    The run's status is not Lightning's to say: ``tracked`` writes it.
    """

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker

    @property
    def name(self) -> str:
        """The experiment."""
        return self.tracker.experiment

    @property
    def version(self) -> str:
        """The run directory's name."""
        return self.tracker.directory.path.name

    @property
    def save_dir(self) -> str:
        """The run directory."""
        return str(self.tracker.directory)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """See Tracker.log_metrics. ``step`` is the rollout step (log a metric named 'step' to set it in Lightning).

        Raises:
            ValueError: no step.
        """
        if step is None:
            raise ValueError("metrics were logged without a step: log by the rollout step")
        self.tracker.log_metrics(step, metrics)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """See Tracker.log_params: what the run has already stays as it is, so a resumed run logs nothing twice."""
        self.tracker.log_params(vars(params) if isinstance(params, Namespace) else params)

    def finalize(self, status: str) -> None:
        """Nothing: Lightning calls this in the middle of a run too, and knows no KILLED."""

    def close(self, status: RunStatus) -> None:
        """See Tracker.close."""
        self.tracker.close(status)
