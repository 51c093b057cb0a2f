"""Settings of MLflow and of the rollout log."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

from igrpo.settings.base import Section


class TrackingConfig(Section):
    uri: str | None
    experiment: str
    example_questions: NonNegativeInt
    rollout_steps_per_file: PositiveInt
    rollout_files_kept: PositiveInt | None
