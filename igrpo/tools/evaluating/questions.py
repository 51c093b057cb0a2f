"""The questions of an evaluation, and a record of which they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from igrpo.assembly import evaluated_questions, fitting_questions
from igrpo.assembly.cautions import options_unread, warn_of_lost_text
from igrpo.data.sources import read_benchmark, read_source
from igrpo.data.splits import choose
from igrpo.disk import disk_errors
from igrpo.files import write_text_atomic
from igrpo.prompts.builder import PromptBuilder
from igrpo.runs.fingerprinting import question_prints
from igrpo.settings.data import GeneratedDataConfig
from igrpo.tools.evaluating.request import Request
from igrpo.types import Question

log = logging.getLogger(__name__)

#: Name of the test split among the benchmarks.
TEST = "test"


@dataclass(frozen=True, slots=True)
class EvaluatedSet:
    """Questions of a benchmark: those in the data (``rows``), too long ones, and those that are evaluated."""

    rows: int
    too_long: int
    questions: tuple[Question, ...]

    @property
    def digest(self) -> dict[str, str]:
        """Hashes of the ids, problems and answers, in the order of the questions."""
        (prints,) = question_prints({TEST: self.questions}).values()
        return {name: value for name, value in prints.items() if name != "questions"}


def read_questions(request: Request, prompts: PromptBuilder) -> dict[str, EvaluatedSet]:
    """Read the test split, or the benchmarks by name. Warn of problems and options that are not read as they are meant.

    Raises:
        ValueError: a data set cannot be read, no question fits, or the tokenizer can express none.
    """
    config = request.config
    of_test = request.measured == "test"
    for sentence in options_unread(config, data=of_test, benchmarks=not of_test):
        log.warning("%s", sentence)
    if request.measured == "test":
        rows = read_source(config.data).test
        fitting = evaluated_questions(config, prompts, rows, "test split")
        generated = isinstance(config.data, GeneratedDataConfig)
        return {TEST: _set(rows, _cut(fitting, request.limit, generated=generated), prompts, "test split")}
    found = {}
    for name, benchmark in config.evaluation.benchmarks.items():
        rows = read_benchmark(name, benchmark)
        fitting = fitting_questions(rows, prompts, f"benchmark {name}")
        found[name] = _set(rows, _cut(fitting, request.limit, generated=False), prompts, f"benchmark {name}")
    return found


def write_questions(path: Path, questions: Sequence[Question]) -> None:
    """Write questions as lines of JSON: id, problem and answer."""
    with disk_errors(path):
        write_text_atomic(path, "".join(f"{json.dumps(asdict(question))}\n" for question in questions))


def _set(rows: Sequence[Question], questions: Sequence[Question], prompts: PromptBuilder, name: str) -> EvaluatedSet:
    warn_of_lost_text(questions, prompts, name)
    return EvaluatedSet(len(rows), sum(not prompts.fits(question) for question in rows), tuple(questions))


def _cut(questions: Sequence[Question], limit: int | None, *, generated: bool) -> Sequence[Question]:
    return questions[:limit] if generated else choose(tuple(questions), limit, seed=0)
