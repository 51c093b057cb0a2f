"""Reading and validation of a run's files: settings, counters and verdicts on the test split."""

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

#: Cumulative counters that every training step logs.
_COUNTERS = {f"budget/{name}" for name in ("samples", "generated_tokens", "prefilled_tokens", "trained_tokens")}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Results of one evaluation: share of right answers (0 to 1) by problem id; empty if that part was disabled.

    ``samples``: number of sampled answers per problem (``greedy`` has one). ``sampled``: verdict of each single-shot
    sample by problem id.
    """

    single_shot: Mapping[str, float]
    greedy: Mapping[str, float]
    draft_conditioned: Mapping[str, float]
    samples: int
    sampled: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)


class _Algorithm(BaseModel):
    name: str
    answers: PositiveInt | None = None
    drafts: NonNegativeInt = 0


class _Trainer(BaseModel):
    steps: PositiveInt
    epochs: PositiveInt
    minibatches: PositiveInt


class _Needed(BaseModel):
    """Settings that the report requires. Runs of other versions may have additional settings or lack other ones."""

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
    """Error of an evaluation that has no accuracy, because the reward could not score any answer."""


@dataclass(slots=True)
class Reading:
    """Reader of the parts of a run. Failures are collected in ``problems``; the first becomes the run's problem."""

    problems: list[str] = field(default_factory=list)

    def attempt(self, read: Callable[[], _T]) -> _T | None:
        """Return the result of ``read``; None after an error of the file system or of a file's content."""
        try:
            return read()
        except (OSError, ValueError) as error:
            self.problems.append(one_line(error))
            return None


def read_settings(path: Path) -> dict[str, Any]:
    """Return the plain values of a config.yaml after checking that it has the settings that the report requires.

    Raises:
        ValueError: the file is missing, broken or of a newer schema, or lacks such a setting.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no {path}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    check_schema_version(path, values, SCHEMA_VERSION)
    try:
        _Needed.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path} does not fit: {_first_error(error)}") from None
    found: dict[str, Any] = values
    return found


def read_counters(lines: Iterable[Mapping[str, Any]], where: str) -> list[Mapping[str, Any]]:
    """Return the lines of a metrics.jsonl after checking them.

    Raises:
        ValueError: a value is not a number, or no step has its counters; the message names ``where``.
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
    """Return the verdicts on the test split before training and after the last step of the summary.

    The verdicts before training are None if the test split was not evaluated or no answer was scored.
    """
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
    """Read the verdicts from the file of an evaluation.

    Raises:
        UnscoredError: the reward scored no answer.
        ValueError: the file is missing, broken, or has no verdicts by problem.
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
        sampled={problem.id: problem.single_shot for problem in problems},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def one_line(error: Exception | str) -> str:
    return " ".join(str(error).split())
