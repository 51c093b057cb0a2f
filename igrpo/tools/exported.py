"""Record (igrpo.json) of an exported model: origin of the weights, prompts and sampling settings."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from igrpo.config.facts import evaluated_tokens
from igrpo.config.schema import RunConfig
from igrpo.files import write_text_atomic
from igrpo.runs.run_directory import read_versioned
from igrpo.settings.base import Section
from igrpo.settings.prompt import PromptConfig
from igrpo.settings.reward import RewardConfig
from igrpo.settings.sampling import SamplingConfig

FILE = "igrpo.json"
SCHEMA_VERSION = 1


class ExportRecord(Section):
    """Content of igrpo.json.

    ``sampling`` has the settings of the evaluations. Accuracies are mean shares of right answers to the bare question,
    for the weights after ``step`` (None: not measured). ``date`` is the date that the run's chat template was given
    (None: the run stored none).
    """

    schema_version: Literal[1]
    run_name: str
    condition: str
    algorithm: str
    objective: str
    seed: int
    step: int
    development_accuracy: float | None
    test_accuracy: float | None
    drafts: int
    prompt: PromptConfig
    sampling: SamplingConfig
    reward: RewardConfig
    date: datetime.date | None = Field(default=None, strict=False)


def export_record(
    config: RunConfig,
    step: int,
    *,
    development_accuracy: float | None,
    test_accuracy: float | None,
    date: datetime.date | None,
) -> ExportRecord:
    """Build the record of a run for its weights after ``step``."""
    return ExportRecord(
        schema_version=1,
        run_name=config.run_name,
        condition=config.condition,
        algorithm=config.algorithm.name,
        objective=config.objective.name,
        seed=config.seed,
        step=step,
        development_accuracy=development_accuracy,
        test_accuracy=test_accuracy,
        drafts=config.plan.drafts,
        prompt=config.prompt,
        sampling=evaluation_sampling(config),
        reward=config.reward,
        date=date,
    )


def evaluation_sampling(config: RunConfig) -> SamplingConfig:
    """Return the sampling settings of evaluations, with which the accuracy of a run is measured."""
    evaluation = config.evaluation
    return SamplingConfig(
        temperature=evaluation.temperature,
        top_p=evaluation.top_p,
        top_k=evaluation.top_k,
        max_completion_tokens=evaluated_tokens(config),
    )


def write_record(directory: Path, record: ExportRecord) -> None:
    """Write igrpo.json."""
    write_text_atomic(directory / FILE, record.model_dump_json(indent=2) + "\n")


def read_record(directory: Path) -> ExportRecord | None:
    """Read igrpo.json; None if there is no such file.

    Raises:
        ValueError: the file is broken, or was written by a newer igrpo.
    """
    path = directory / FILE
    if not path.exists():
        return None
    read_versioned(path, SCHEMA_VERSION, missing=f"there is no {path}")
    try:
        return ExportRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(f"{path} does not fit: {error}") from None
