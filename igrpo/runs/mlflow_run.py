"""A Lightning logger that writes to a Tracker."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from igrpo.runs.run_directory import RunStatus
from igrpo.runs.tracker import Tracker


class RunLogger(Logger):
    """Lightning logger that forwards to a Tracker. Only rank 0 logs, so other ranks need no RunLogger.

    It ignores the status that Lightning reports: ``run_lifecycle`` records the run's status.
    """

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.tracker.experiment

    @property
    def version(self) -> str:
        """Name of the run directory."""
        return self.tracker.directory.path.name

    @property
    def save_dir(self) -> str:
        """Path of the run directory."""
        return str(self.tracker.directory)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics of a rollout step (log a metric named 'step' to set it in Lightning). See Tracker.log_metrics.

        Raises:
            ValueError: ``step`` is None.
        """
        if step is None:
            raise ValueError("metrics were logged without a step: log by the rollout step")
        self.tracker.log_metrics(step, metrics)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Log parameters that the run does not have yet, so a resumed run repeats none. See Tracker.log_params."""
        self.tracker.log_params(vars(params) if isinstance(params, Namespace) else params)

    def finalize(self, status: str) -> None:
        """Do nothing: Lightning also calls this in the middle of a run, and has no status KILLED."""

    def close(self, status: RunStatus) -> None:
        """Close the Tracker. See Tracker.close."""
        self.tracker.close(status)
