"""Records of a data set as questions, and the questions that are held out of training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from igrpo.seeding import derive_seed
from igrpo.types import Question

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fields:
    """The names of a data set's fields; ``id=None`` numbers the records instead."""

    id: str | None = "id"
    problem: str = "problem"
    answer: str = "answer"


@dataclass(frozen=True, slots=True)
class Splits:
    """Questions to train on, to choose by and to report."""

    train: tuple[Question, ...]
    development: tuple[Question, ...]
    test: tuple[Question, ...]


def read_questions(records: Iterable[tuple[str, Mapping[str, object]]], fields: Fields) -> tuple[Question, ...]:
    """Every record as a question.

    Args:
        records: (where it stands, for messages; the record), in order.
        fields: the names of the fields.

    Raises:
        ValueError: a field is missing, empty or no text, or two records have the same id; the message says where.
    """
    questions = []
    seen: dict[str, str] = {}
    for number, (where, record) in enumerate(records):
        identifier = str(number) if fields.id is None else _text(record, fields.id, "id", where)
        if identifier in seen:
            raise ValueError(f"{where}: the id {identifier!r} already stands at {seen[identifier]}; ids must be unique")
        seen[identifier] = where
        problem = _text(record, fields.problem, "problem", where)
        questions.append(Question(identifier, problem, _text(record, fields.answer, "answer", where)))
    return tuple(questions)


def _text(record: Mapping[str, object], name: str, role: str, where: str) -> str:
    if name not in record:
        close = get_close_matches(name, list(record), n=1)
        advice = f"did you mean '{close[0]}'? " if close else ""
        raise ValueError(
            f"{where}: there is no field '{name}' (data.fields.{role}); {advice}"
            f"The fields are {', '.join(sorted(record)) or 'none'}"
        )
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kind = "null" if value is None else type(value).__name__
        raise ValueError(  # noqa: TRY004 - a user's error in a file, not a caller's wrong type
            f"{where}: the field '{name}' (data.fields.{role}) must be text or a number, not {kind}"
        )
    text = str(value)
    if not text.strip():
        raise ValueError(f"{where}: the field '{name}' (data.fields.{role}) is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: the field '{name}' holds half a character (a lone surrogate)") from error
    return text


def hold_out(questions: Iterable[Question], development: float, test: float) -> Splits:
    """Split questions by a hash of their ids: where one goes depends on no other, nor on the order.

    The test split does not depend on the share of the development split.

    Raises:
        ValueError: a share outside [0, 1), no question left to train on, or a share that holds out no question.
    """
    for name, share in (("development", development), ("test", test)):
        if not 0 <= share < 1:
            raise ValueError(f"data.{name}={share}: a share of the questions must be at least 0 and below 1")
    parts: dict[str, list[Question]] = {"train": [], "development": [], "test": []}
    for question in questions:
        place = derive_seed("held out", question.id) / 2**63
        split = "test" if place < test else "development" if place < test + development else "train"
        parts[split].append(question)
    total = sum(map(len, parts.values()))
    if not parts["train"]:
        raise ValueError(
            f"data.development={development} and data.test={test} leave none of {total} questions to train on"
        )
    for name, share in (("development", development), ("test", test)):
        if share > 0 and not parts[name]:
            raise ValueError(f"data.{name}={share} of {total} questions holds out none: raise it, or set it to 0")
    return Splits(tuple(parts["train"]), tuple(parts["development"]), tuple(parts["test"]))


def warn_of_overlap(splits: Splits) -> None:
    """Warn of training problems that stand word for word in a held-out split: their accuracy proves nothing."""
    problems = {question.problem.strip() for question in splits.train}
    for name, held_out in (("development", splits.development), ("test", splits.test)):
        count = sum(question.problem.strip() in problems for question in held_out)
        if count:
            log.warning("%d of %d %s problems are also training problems, word for word", count, len(held_out), name)
