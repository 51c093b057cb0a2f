"""Conversion of the records of a data set to questions, and selection of held-out questions."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from igrpo.data.fields import Fields, UnusableRowError, field_value, read_id, read_question
from igrpo.data.messages import has_system_message
from igrpo.seeding import derive_seed
from igrpo.types import Question

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Splits:
    """Questions of the training, development and test splits."""

    train: tuple[Question, ...]
    development: tuple[Question, ...]
    test: tuple[Question, ...]


def read_questions(
    records: Iterable[tuple[str, Mapping[str, object]]], fields: Fields, *, section: str, unusable_share: float
) -> tuple[Question, ...]:
    """Convert records to questions, in order.

    Up to a share, records that cannot be used are left out, counted and logged; if the share is 0, the first one is an
    error. Records without an id (all records, if ``fields.id=None``) that have the same problem become one question. If
    their answers differ, it is not known which is right, and all of them are left out.

    Args:
        records: pairs of a place, for messages, and a record.
        fields: the names of the fields.
        section: the section of the configuration that contains ``fields``, for messages (``data``).
        unusable_share: largest share of records that may be left out because they have no problem or no answer.

    Raises:
        ValueError: a field is missing, too many records cannot be used, or two records have the same id; the message
            gives the place.
    """
    reading = _Reading()
    for where, record in records:
        reading.total += 1
        try:
            question = read_question(where, record, fields, section)
        except UnusableRowError as error:
            if unusable_share == 0:
                raise
            reading.unusable.append(str(error))
            continue
        reading.systems += has_system_message(field_value(record, fields.problem, section, where))
        given = read_id(where, record, fields, section) is not None
        reading.without_id += fields.id is not None and not given
        reading.add(question, where, unique=given)
    if len(reading.unusable) > unusable_share * reading.total:
        raise ValueError(
            f"{section}.unusable_share={unusable_share}, but {len(reading.unusable)} of {reading.total} rows hold no "
            f"question; the first: {reading.unusable[0]}"
        )
    return reading.questions(section)


@dataclass(slots=True)
class _Reading:
    """Questions and counts of the records read so far."""

    total: int = 0
    systems: int = 0
    without_id: int = 0
    unusable: list[str] = field(default_factory=list)
    repeats: int = 0
    disputed: set[str] = field(default_factory=set)
    found: dict[str, tuple[Question, str]] = field(default_factory=dict)

    def add(self, question: Question, where: str, *, unique: bool) -> None:
        before, place = self.found.setdefault(question.id, (question, where))
        if before is question:
            return
        if unique:
            raise ValueError(f"{where}: the id {question.id!r} already stands at {place}; ids must be unique")
        self.repeats += 1
        if before.answer.strip() != question.answer.strip():
            self.disputed.add(question.id)

    def questions(self, section: str) -> tuple[Question, ...]:
        if self.unusable:
            log.warning(
                "%s: %d of %d rows hold no question and are left out; the first: %s",
                section, len(self.unusable), self.total, self.unusable[0],
            )  # fmt: skip
        if self.systems:
            log.warning(
                "%s: %d of %d rows have a system message, which is left out: the run's own prompt says how to answer",
                section, self.systems, self.total,
            )  # fmt: skip
        if self.without_id:
            log.info(
                "%s: %d of %d rows have no id and are called by a hash of their problem",
                section, self.without_id, self.total,
            )  # fmt: skip
        if self.repeats:
            log.warning(
                "%s: %d of %d rows repeat the problem of another; %d problems that have several answers are left out",
                section, self.repeats, self.total, len(self.disputed),
            )  # fmt: skip
        return tuple(one for one, _ in self.found.values() if one.id not in self.disputed)


def choose(questions: Sequence[Question], limit: int | None, seed: int) -> tuple[Question, ...]:
    """Choose at most ``limit`` questions (None: all) by a hash of the seed and their ids, and keep their order."""
    if limit is None or limit >= len(questions):
        return tuple(questions)
    ranked = sorted(questions, key=lambda question: derive_seed("chosen", seed, question.id))
    chosen = {question.id for question in ranked[:limit]}
    return tuple(question for question in questions if question.id in chosen)


def hold_out(questions: Iterable[Question], development: float, test: float) -> Splits:
    """Split questions by a hash of their ids, independent of the other questions and of the order.

    The test split does not depend on the share of the development split.

    Raises:
        ValueError: a share is outside [0, 1), no question is left to train on, or a share holds out no question.
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
    """Warn if training problems are also in a held-out split, word for word, which makes its accuracy meaningless."""
    problems = {question.problem.strip() for question in splits.train}
    for name, held_out in (("development", splits.development), ("test", splits.test)):
        count = sum(question.problem.strip() in problems for question in held_out)
        if count:
            log.warning("%d of %d %s problems are also training problems, word for word", count, len(held_out), name)
