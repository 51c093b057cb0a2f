"""Settings of MLflow, of the rollout log and of the profile."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

from igrpo.settings.base import Section


class TrackingConfig(Section):
    uri: str | None
    experiment: str
    example_questions: NonNegativeInt
    rollout_steps_per_file: PositiveInt
    rollout_files_kept: PositiveInt | None


class ProfilingConfig(Section):
    """Steps of a process that ``profile=true`` traces: at most ``steps``, after the first ``after`` ones."""

    after: NonNegativeInt
    steps: PositiveInt
