"""summary.json: what a run was and what came out of it. Tables and reports read it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from igrpo.disk import disk_errors
from igrpo.evaluation.draft_worth import DraftWorth
from igrpo.files import write_json_atomic
from igrpo.runs.run_directory import read_versioned

#: The version of summary.json that this code writes, and the newest that it reads.
SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Accuracy(_Part):
    """Shares in [0, 1] of the test split, means of ``samples_per_question`` samples; ``interval`` (low, high) belongs
    to ``after``. None: not measured, or not yet."""

    before: float | None = None
    after: float | None = None
    interval_before: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    greedy_before: float | None = None
    greedy_after: float | None = None
    questions: int | None = None
    samples_per_question: int | None = None


class DraftWorths(_Part):
    """The worth of a draft in the test split's evaluations. None: not measured, or not yet."""

    before: DraftWorth | None = None
    after: DraftWorth | None = None


class FirstLast(_Part):
    """A stage's entropy (nats a token) at the first and at the last step."""

    first: float | None = None
    last: float | None = None


class Tokens(_Part):
    """Tokens over the whole run."""

    generated: int = 0
    prefilled: int = 0
    trained: int = 0


class JudgeUse(_Part):
    """What generative judges read and wrote up to the last training step, lost steps and evaluations included; ``cost``
    is in the currency of reward.input_price."""

    input_tokens: int
    output_tokens: int
    cost: float


class Summary(_Part):
    """One run. ``steps`` counts the steps done, ``samples`` the completions, ``flops`` the operations (None: an older
    igrpo did not count them); ``seconds`` are wall time by phase. ``stopped_by`` names the limit, such as
    ``budget.max_samples``, that ended the run before ``trainer.steps``; None: no limit did. ``judge`` is None
    where there was none. ``fingerprints``: of questions, prompts, reward and model, the beginnings of their hashes (see
    fingerprints.json; None: an older igrpo kept none)."""

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
    tokens: Tokens
    flops: int | None = None
    seconds: dict[str, float]
    judge: JudgeUse | None = None
    fingerprints: dict[str, str] | None = None
    versions: dict[str, str]
    commit: str | None
    config_hash: str


def write_summary(path: Path, summary: Summary) -> None:
    """Write it atomically, as strict JSON.

    Raises:
        DiskFullError: no room; an earlier summary stays.
    """
    with disk_errors(path):
        write_json_atomic(path, summary.model_dump(mode="json"))


def read_summary(path: Path) -> Summary:
    """Read and check it.

    Raises:
        ValueError: missing, broken, of another schema version, or with wrong fields; the message names the file.
    """
    missing = f"there is no {path}: the run has not been evaluated yet, or this is no run"
    raw = read_versioned(path, SCHEMA_VERSION, missing=missing)
    try:
        return Summary.model_validate(raw)
    except ValidationError as error:
        raise ValueError(f"{path} does not fit: {error}") from None
