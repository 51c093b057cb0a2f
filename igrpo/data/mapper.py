"""Conversion of rows to questions, the same for every source."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from igrpo.data.boxed import last_boxed
from igrpo.data.fields import UnusableRowError, field_value, has_system_message, problem_of, text_of
from igrpo.data.options import LETTERS, options_of, shuffled, with_options
from igrpo.data.reader import Row
from igrpo.settings.data import FieldNames
from igrpo.types import Question

log = logging.getLogger(__name__)

#: Default name of the id field; rows may lack it.
_USUAL_ID: Final = "id"
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


@dataclass(frozen=True, slots=True)
class RowMapper:
    """Conversion of the rows of a data set to questions.

    Without an id (``fields.id`` is None, or the row has none) the id of a question is a hash of its problem.
    ``section`` is the section of the configuration that describes the data set, for messages (``data``). The other
    fields are those of `igrpo.settings.data.HubDataConfig`.
    """

    section: str
    fields: FieldNames
    where: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    problem_prefix: str = ""
    problem_suffix: str = ""
    unusable_share: float = 0.0

    @property
    def paths(self) -> set[str]:
        """Names and paths of all fields that are read."""
        identifier = set() if self.fields.id is None else {self.fields.id}
        return {self.fields.problem, self.fields.answer, *(self.fields.options or ()), *self.where} | identifier

    def questions(self, rows: Iterable[Row], source: str) -> tuple[Question, ...]:
        """Convert the rows that have the values of ``where``, in order.

        Up to a share, rows that cannot be used are left out, counted and logged; if the share is 0, the first one is an
        error. Rows without an id that have the same problem become one question. If their answers differ, it is not
        known which is right, and all of them are left out.

        Args:
            rows: pairs of a place, for messages, and a row.
            source: what the rows are read from, for messages.

        Raises:
            ValueError: a field is missing, too many rows cannot be used, two rows have the same id, or there is no
                question; the message gives the place.
        """
        found = _ReadRows()
        for place, row in rows:
            if not self._wanted(place, row):
                continue
            found.total += 1
            try:
                identifier, question = self._identifier(place, row), self.question(place, row)
            except UnusableRowError as error:
                if self.unusable_share == 0:
                    raise
                found.unusable.append(str(error))
                continue
            found.systems += has_system_message(self._value(place, row, "problem", self.fields.problem))
            found.without_id += self.fields.id is not None and identifier is None
            found.add(question, place, unique=identifier is not None)
        if len(found.unusable) > self.unusable_share * found.total:
            raise ValueError(
                f"{self.section}.unusable_share={self.unusable_share}, but {len(found.unusable)} of {found.total} rows "
                f"have no usable question; the first: {found.unusable[0]}"
            )
        found.log(self.section)
        questions = found.questions()
        if not questions:
            raise ValueError(f"{source} has no question{' that has the values of where' if self.where else ''}")
        return questions

    def question(self, place: str, row: Mapping[str, object]) -> Question:
        """Convert one row.

        Raises:
            ValueError: the row lacks a field.
            UnusableRowError: a field is empty or not text, or its text does not have the configured form.
        """
        identifier, problem = self._identifier(place, row), self._problem(place, row)
        if self.fields.options is not None:
            return self._multiple_choice(identifier, problem, place, row)
        answer = self._answer(place, row)
        return Question(_hash(problem) if identifier is None else identifier, problem, answer)

    def _multiple_choice(self, identifier: str | None, problem: str, place: str, row: Mapping[str, object]) -> Question:
        options, right = options_of(row, self.fields, place, f"{self.section}.fields")
        identifier = _hash(with_options(problem, options)) if identifier is None else identifier
        if self.fields.options_order == "shuffled":
            options, right = shuffled(options, right, identifier)
        return Question(identifier, with_options(problem, options), LETTERS[right], options)

    def _value(self, place: str, row: Mapping[str, object], setting: str, path: str) -> object:
        return field_value(row, path, f"{self.section}.fields.{setting}", place)

    def _wanted(self, place: str, row: Mapping[str, object]) -> bool:
        setting = f"{self.section}.where"
        return all(_equal(field_value(row, path, setting, place), value) for path, value in self.where.items())

    def _identifier(self, place: str, row: Mapping[str, object]) -> str | None:
        """Return the id of a row; None if the field is empty, or if the default field is missing."""
        path = self.fields.id
        if path is None or (path == _USUAL_ID and path not in row):
            return None
        value = self._value(place, row, "id", path)
        if value is None or value != value or (isinstance(value, str) and not value.strip()):  # noqa: PLR0124 - NaN
            return None
        return text_of(value, path, f"{self.section}.fields.id", place)

    def _problem(self, place: str, row: Mapping[str, object]) -> str:
        path, prefix, suffix = self.fields.problem, self.problem_prefix, self.problem_suffix
        problem = problem_of(self._value(place, row, "problem", path), path, f"{self.section}.fields.problem", place)
        for setting, found in (
            ("problem_prefix", problem.startswith(prefix)),
            ("problem_suffix", problem.endswith(suffix)),
        ):
            if not found:
                raise UnusableRowError(f"{place}: the field '{path}' lacks the text of {self.section}.{setting}")
        if not (prefix or suffix):
            return problem
        problem = problem.removeprefix(prefix).removesuffix(suffix).strip()
        if not problem:
            raise UnusableRowError(f"{place}: the field '{path}' has no problem between its prefix and suffix")
        return problem

    def _answer(self, place: str, row: Mapping[str, object]) -> str:
        path, form = self.fields.answer, self.fields.answer_form
        text = text_of(self._value(place, row, "answer", path), path, f"{self.section}.fields.answer", place)
        if form == "plain":
            return text
        if form == "boxed":
            found, form_of_answer = last_boxed(text) or "", "\\boxed{} with an answer in it"
        else:
            found, form_of_answer = _after_hashes(text), "#### with an answer after it"
        if not found.strip():
            raise UnusableRowError(
                f"{place}: the field '{path}' has no {form_of_answer} ({self.section}.fields.answer_form={form})"
            )
        return found.strip()


@dataclass(slots=True)
class _ReadRows:
    """Questions and counts of the rows read so far."""

    total: int = 0
    systems: int = 0
    without_id: int = 0
    unusable: list[str] = field(default_factory=list)
    repeats: int = 0
    disputed: set[str] = field(default_factory=set)
    by_id: dict[str, tuple[Question, str]] = field(default_factory=dict)

    def add(self, question: Question, place: str, *, unique: bool) -> None:
        before, first_place = self.by_id.setdefault(question.id, (question, place))
        if before is question:
            return
        if unique:
            raise ValueError(f"{place}: the id {question.id!r} is already used at {first_place}; ids must be unique")
        self.repeats += 1
        if before.answer.strip() != question.answer.strip():
            self.disputed.add(question.id)

    def questions(self) -> tuple[Question, ...]:
        return tuple(one for one, _ in self.by_id.values() if one.id not in self.disputed)

    def log(self, section: str) -> None:
        def tell(level: int, count: int, what: str) -> None:
            if count:
                log.log(level, "%s: %d of %d rows %s", section, count, self.total, what)

        first = self.unusable[0] if self.unusable else ""
        system = "have a system message, which is left out: the run's own prompt says how to answer"
        several = f"{len(self.disputed)} problems that have several answers are left out"
        tell(logging.WARNING, len(self.unusable), f"have no usable question and are left out; the first: {first}")
        tell(logging.WARNING, self.systems, system)
        tell(logging.INFO, self.without_id, "have no id; a hash of the problem takes its place")
        tell(logging.WARNING, self.repeats, f"repeat the problem of another; {several}")


def _equal(found: object, wanted: str | int | float | bool) -> bool:
    """Compare a field with a value of ``where``; in JSON and CSV files numbers are read as text."""
    if not isinstance(found, str) or isinstance(wanted, str):
        return found == wanted
    if isinstance(wanted, bool):
        return found.lower() == str(wanted).lower()
    try:
        return float(found) == wanted
    except ValueError:
        return False


def _after_hashes(text: str) -> str:
    _, mark, found = text.rpartition("####")
    return _THOUSANDS.sub("", found.strip()) if mark else ""


def _hash(problem: str) -> str:
    return hashlib.sha256(problem.strip().encode()).hexdigest()[:16]
