"""The files of a run that the report reads, each checked: settings, counters, verdicts on the test split."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError

from igrpo.config import SCHEMA_VERSION
from igrpo.runs.run_directory import check_schema_version
from igrpo.runs.summary import Summary

_T = TypeVar("_T")

#: What every training step has counted so far.
_COUNTERS = {f"budget/{name}" for name in ("samples", "generated_tokens", "prefilled_tokens", "trained_tokens")}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Of one evaluation: the share right (0 to 1) of each problem, by its id; empty where that part was off.

    ``samples``: sampled answers a problem (``greedy`` has one).
    """

    single_shot: Mapping[str, float]
    greedy: Mapping[str, float]
    draft_conditioned: Mapping[str, float]
    samples: int


class _Algorithm(BaseModel):
    name: str
    answers: PositiveInt | None = None
    drafts: NonNegativeInt = 0


class _Trainer(BaseModel):
    steps: PositiveInt
    epochs: PositiveInt
    minibatches: PositiveInt


class _Needed(BaseModel):
    """The settings that the report cannot do without; runs of other versions may have more, or lack others."""

    seed: int
    completions_per_question: PositiveInt
    algorithm: _Algorithm
    objective: dict[str, Any]
    reward: dict[str, Any]
    model: dict[str, Any]
    trainer: _Trainer


class _Problem(BaseModel):
    id: str
    single_shot: tuple[bool, ...]
    greedy: bool | None = None
    draft_conditioned: tuple[bool, ...] = ()


class _Evaluation(BaseModel):
    single_shot: dict[str, Any] | None = Field(default_factory=dict)
    per_question: tuple[_Problem, ...]


class UnscoredError(ValueError):
    """The reward could score no answer of an evaluation: it has no accuracy."""


@dataclass(slots=True)
class Reading:
    """Reads the parts of a run; what fails is kept as ``problems``, the first of which is the run's."""

    problems: list[str] = field(default_factory=list)

    def attempt(self, read: Callable[[], _T]) -> _T | None:
        """The result of ``read``; None after an error of the file system or of what stands in a file."""
        try:
            return read()
        except (OSError, ValueError) as error:
            self.problems.append(one_line(error))
            return None


def read_settings(path: Path) -> dict[str, Any]:
    """The plain values of a config.yaml that has what the report needs.

    Raises:
        ValueError: missing, broken, of a newer schema, or without such a setting.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no {path}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from None
    check_schema_version(path, values, SCHEMA_VERSION)
    try:
        _Needed.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path} does not fit: {_first_error(error)}") from None
    found: dict[str, Any] = values
    return found


def read_counters(lines: Iterable[Mapping[str, Any]], where: str) -> list[Mapping[str, Any]]:
    """The lines of a metrics.jsonl, checked: all values are numbers, and the counters of at least one step are there.

    Raises:
        ValueError: they are not; the message names ``where``.
    """
    found = list(lines)
    for line in found:
        for name, value in line.items():
            if not _is_number(value):
                raise ValueError(f"{where}, step {line['step']}: {name} is {value!r}, which is no number")
    if not any(line.keys() >= _COUNTERS for line in found):
        raise ValueError(f"{where} has no training step with its counters ({', '.join(sorted(_COUNTERS))})")
    return found


def verdicts_before_and_after(
    evaluations: Path, summary: Summary | None, reading: Reading
) -> tuple[Verdicts | None, Verdicts | None]:
    """Of the test split before training (None where it was not evaluated) and after the last step of the summary."""
    if summary is None:
        return None, None
    first, last = (evaluations / f"test-{step:06d}.json" for step in (0, summary.steps))
    before = reading.attempt(lambda: _read_before(first)) if first.exists() else None
    return before, reading.attempt(lambda: read_verdicts(last))


def _read_before(path: Path) -> Verdicts | None:
    try:
        return read_verdicts(path)
    except UnscoredError:
        return None


def read_verdicts(path: Path) -> Verdicts:
    """The verdicts that an evaluation's file holds.

    Raises:
        ValueError: missing, broken, or without verdicts by problem (``UnscoredError``: as nothing had a score).
    """
    try:
        evaluation = _Evaluation.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"there is no {path}: the test split was not evaluated after the last step") from None
    except ValidationError as error:
        raise ValueError(f"{path} does not fit: {_first_error(error)}") from None
    except ValueError as error:
        raise ValueError(f"{path} is broken: {error}") from None
    if evaluation.single_shot is None:
        raise UnscoredError(f"{path}: the reward could score none of its answers; resume the run to ask again")
    problems = evaluation.per_question
    if not problems or not all(problem.single_shot for problem in problems):
        raise ValueError(f"{path} has a problem without a verdict, or no problem at all")
    return Verdicts(
        single_shot={problem.id: fmean(problem.single_shot) for problem in problems},
        greedy={problem.id: float(problem.greedy) for problem in problems if problem.greedy is not None},
        draft_conditioned={p.id: fmean(p.draft_conditioned) for p in problems if p.draft_conditioned},
        samples=len(problems[0].single_shot),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def one_line(error: Exception | str) -> str:
    return " ".join(str(error).split())
