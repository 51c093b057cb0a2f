"""The file summary.json: a run's settings, results and costs, which tables and reports read."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from igrpo.disk import disk_errors
from igrpo.evaluation.draft_worth import DraftWorth
from igrpo.files import write_json_atomic
from igrpo.runs.run_directory import read_versioned

#: Schema version of summary.json that this code writes, and the newest that it reads.
SCHEMA_VERSION = 2


class _SummaryPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Accuracy(_SummaryPart):
    """Accuracy in [0, 1] on the test split, as the mean over ``samples_per_question`` samples per question.

    ``interval`` (low, high) is that of ``after``. None: not measured, or not yet.
    """

    before: float | None = None
    after: float | None = None
    interval_before: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    greedy_before: float | None = None
    greedy_after: float | None = None
    questions: int | None = None
    samples_per_question: int | None = None


class DraftWorths(_SummaryPart):
    """Worth of a draft in the evaluations of the test split. None: not measured, or not yet."""

    before: DraftWorth | None = None
    after: DraftWorth | None = None


class FirstLast(_SummaryPart):
    """Entropy of the samples of a role (nats per token) at the first and at the last step."""

    first: float | None = None
    last: float | None = None


class TokenCounts(_SummaryPart):
    """Token counts of the whole run."""

    generated: int = 0
    prefilled: int = 0
    trained: int = 0


class JudgeUse(_SummaryPart):
    """TokenCounts and cost of generative judges up to the last training step, including lost steps and evaluations.

    ``cost`` is in the currency of reward.input_price.
    """

    input_tokens: int
    output_tokens: int
    cost: float


class Summary(_SummaryPart):
    """Contents of summary.json.

    ``steps`` is the number of completed steps, ``samples`` that of completions, and ``flops`` that of operations (None:
    an older igrpo did not count them). ``seconds`` is wall time by phase. ``stopped_by`` is the limit, such as
    ``budget.max_samples``, that ended the run before ``trainer.steps``; None: no limit. ``judge`` is None without a
    judge. ``fingerprints`` are short hashes of questions, prompts, reward and model (see fingerprints.json; None: an
    older igrpo kept none). ``parameters`` is the size of the model with its adapters, and ``hardware`` what it was
    trained on, in words (None: an older igrpo).
    """

    schema_version: int = SCHEMA_VERSION
    algorithm: str
    objective: str
    seed: int
    steps: int
    stopped_by: str | None = None
    single_shot: Accuracy
    draft_conditioned: Accuracy
    draft_worth: DraftWorths = DraftWorths()
    entropy: dict[str, FirstLast]
    samples: int
    tokens: TokenCounts
    flops: int | None = None
    seconds: dict[str, float]
    judge: JudgeUse | None = None
    fingerprints: dict[str, str] | None = None
    parameters: int | None = None
    hardware: str | None = None
    versions: dict[str, str]
    commit: str | None
    config_hash: str


def write_summary(path: Path, summary: Summary) -> None:
    """Write summary.json atomically, as strict JSON.

    Raises:
        DiskFullError: the disk is full; an earlier summary is kept.
    """
    with disk_errors(path):
        write_json_atomic(path, summary.model_dump(mode="json"))


def read_summary(path: Path) -> Summary:
    """Read and validate summary.json.

    Raises:
        ValueError: the file is missing or broken, or has an unknown schema version or wrong fields; the message names
            the file.
    """
    missing = f"there is no {path}: the run has not been evaluated yet, or this is not a run directory"
    raw = read_versioned(path, SCHEMA_VERSION, missing=missing)
    try:
        return Summary.model_validate(raw)
    except ValidationError as error:
        raise ValueError(f"{path} does not match the schema: {error}") from None
