"""Settings of MLflow, of the rollout log and of the profile."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

from igrpo.settings.base import Section


class TrackingConfig(Section):
    """MLflow and the rollout log."""

    uri: str | None
    """Address of MLflow: a database, such as sqlite:///mlflow.db (a relative path is relative to the working
    directory), or a server. Null: no MLflow; metrics are written to the run directory in any case."""

    experiment: str
    """MLflow experiment of the run."""

    example_questions: NonNegativeInt
    """Number of questions in the table of samples of each evaluation."""

    rollout_steps_per_file: PositiveInt
    """Number of steps per file of rollouts/."""

    rollout_files_kept: PositiveInt | None
    """Number of newest files of rollouts/ to keep. Null: all."""


class ProfilingConfig(Section):
    """Steps of a process that ``profile=true`` traces."""

    after: NonNegativeInt
    """Number of steps of the process before the trace; the first steps allocate memory and fill caches."""

    steps: PositiveInt
    """Number of traced steps. The trace grows with them."""
