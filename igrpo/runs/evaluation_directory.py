"""The folder of an evaluation (`igrpo eval`): what is measured, its samples, and its results so far."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from igrpo.disk import disk_errors
from igrpo.evaluation.protocol import PROTOCOL
from igrpo.evaluation.summary import MetricEstimate
from igrpo.evaluation.test_time.curve import ModesResult
from igrpo.files import write_json_atomic
from igrpo.runs.run_directory import read_versioned

#: Schema version of eval.json and result.json that this code writes, and the newest that it reads.
SCHEMA_VERSION = 1

_Content = TypeVar("_Content", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EvaluatedModel(_Part):
    """The model of an evaluation.

    ``path`` is a run directory, a model's directory or a name on the hub. ``checkpoint`` is as it was asked for, and
    ``step`` the training step of the weights (None: not of a run's checkpoint). ``weights`` is a digest of all weights
    and their names. ``run`` has the run's name, condition, algorithm, seed and config hash.
    """

    source: Literal["run", "directory", "hub"]
    path: str
    checkpoint: str | None = None
    step: int | None = None
    weights: str
    dtype: str
    parameters: int
    run: Mapping[str, Any] | None = None


class EvaluatedQuestions(_Part):
    """The questions of a benchmark, and how they were sampled.

    ``rows`` is the number of questions in the data, ``questions`` that of the evaluated ones, and ``too_long`` that of
    those that do not fit the prompt's budget. ``digest`` has hashes of the ids, problems and answers of the evaluated
    questions, in their order. ``kinds`` has the number of samples per question by kind, ``samples`` that of the
    single-shot ones, and ``sampling`` their temperature, top_p, top_k and max_new_tokens.
    """

    rows: int
    questions: int
    too_long: int
    digest: Mapping[str, str]
    samples: int
    kinds: Mapping[str, int]
    sampling: Mapping[str, float]
    reward: Mapping[str, Any]


class EvaluationRecord(_Part):
    """Contents of eval.json. ``measured`` is ``test`` (the test split) or ``benchmarks``; ``limit`` is --questions.

    ``date`` (YYYY-MM-DD) is passed to chat templates that ask for the time. Secrets are not part of settings.
    """

    schema_version: int = SCHEMA_VERSION
    protocol: int = PROTOCOL
    created: str
    command: tuple[str, ...]
    model: EvaluatedModel
    measured: Literal["test", "benchmarks"]
    limit: int | None
    benchmarks: Mapping[str, EvaluatedQuestions]
    prompt: Mapping[str, Any]
    engine: Mapping[str, Any]
    precision: str
    seed: int
    date: str
    hardware: str
    commit: str | None
    versions: Mapping[str, str]


class BenchmarkResult(_Part):
    """Result of a benchmark: Q questions of k samples, and the metrics by name (docs/metrics.md).

    ``estimates`` has, by kind of samples, the estimators of `igrpo.evaluation.summary` with their intervals.
    ``test_time`` has the curves of the test-time modes (None: there were none).
    ``validity`` has the checks of what could be wrong with them (`igrpo.evaluation.validity.result.Checks`).
    """

    questions: int
    samples: int
    metrics: Mapping[str, float]
    estimates: Mapping[str, Mapping[str, MetricEstimate]] = {}
    test_time: ModesResult | None = None
    validity: Mapping[str, Any] = {}


class EvaluationResults(_Part):
    """Contents of result.json. ``complete`` is False while benchmarks are missing.

    ``contamination`` has the probe of several benchmarks (None: not asked for). ``remarks`` say in a line each what the
    checks of all benchmarks have found.
    """

    schema_version: int = SCHEMA_VERSION
    protocol: int = PROTOCOL
    complete: bool = False
    seconds: float = 0.0
    benchmarks: Mapping[str, BenchmarkResult] = {}
    contamination: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()


class EvaluationDirectory:
    """Paths and records of one evaluation's folder. Creating the object touches no file."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.record_file = self.path / "eval.json"
        self.config = self.path / "config.yaml"
        self.result = self.path / "result.json"
        self.validity = self.path / "validity.md"
        self.log = self.path / "log.txt"

    def __str__(self) -> str:
        return str(self.path)

    @property
    def exists(self) -> bool:
        """True if an evaluation has begun here."""
        return self.record_file.is_file()

    def samples(self, benchmark: str) -> Path:
        """Return the file with the samples of a benchmark (`igrpo.evaluation.store`)."""
        return self.path / "samples" / f"{benchmark}.jsonl"

    def questions(self, benchmark: str) -> Path:
        """Return the file with the questions of a benchmark: id, problem and answer, one per line."""
        return self.path / "questions" / f"{benchmark}.jsonl"

    def read_record(self) -> EvaluationRecord:
        """Read eval.json.

        Raises:
            ValueError: it is missing or broken, or a newer igrpo wrote it.
        """
        missing = f"{self.path} is not the directory of an evaluation: it has no eval.json"
        return _parsed(EvaluationRecord, self.record_file, missing)

    def read_results(self) -> EvaluationResults:
        """Read result.json. Before the first benchmark is complete there is none, and no result.

        Raises:
            ValueError: it is broken, or a newer igrpo wrote it.
        """
        return _parsed(EvaluationResults, self.result, "") if self.result.exists() else EvaluationResults()

    def write(self, content: EvaluationRecord | EvaluationResults) -> None:
        """Write eval.json or result.json atomically.

        Raises:
            DiskFullError: the disk is full; an earlier file is kept.
        """
        path = self.record_file if isinstance(content, EvaluationRecord) else self.result
        with disk_errors(path):
            write_json_atomic(path, content.model_dump(mode="json"))


def _parsed(kind: type[_Content], path: Path, missing: str) -> _Content:
    raw = read_versioned(path, SCHEMA_VERSION, missing=missing)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ValueError(f"{path} does not fit: {error}") from None
