"""Conversion of a row of a data set to a question: names of fields and forms of answers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Final, Literal

from igrpo.data.boxed import last_boxed
from igrpo.data.messages import DialogueError, user_text
from igrpo.types import Question

AnswerForm = Literal["plain", "boxed", "hashes"]

#: Default name of the id field.
_USUAL_ID: Final = "id"
#: Whole floats below this are exact.
_EXACT: Final = 2**53
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


class UnusableRowError(ValueError):
    """A row has no usable problem or answer; the message gives the place of the row and the reason."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Names and forms of the fields of a row.

    A name may be a path into a field: keys and positions, separated by dots (``prompt.0.content``). With ``id=None``,
    and for rows without an id, the id is a hash of the problem. A problem may be a list of chat messages
    (`igrpo.data.messages`). ``answer_form``: ``plain`` is the field itself, ``boxed`` the content of its last
    ``\\boxed{}``, ``hashes`` the text after its last ``####``, without thousands separators. The prefix and the suffix
    must be present in every problem, and are removed.
    """

    id: str | None = "id"
    problem: str = "problem"
    answer: str = "answer"
    answer_form: AnswerForm = "plain"
    problem_prefix: str = ""
    problem_suffix: str = ""


def read_question(where: str, row: Mapping[str, object], fields: Fields, section: str) -> Question:
    """Convert a row to a question.

    Args:
        where: the place of the row, for messages.
        row: the row.
        fields: the names of its fields.
        section: the section of the configuration that contains ``fields``, for messages (``data``).

    Raises:
        ValueError: the row lacks a field.
        UnusableRowError: a field is empty or not text, or its text does not have the configured form.
    """
    identifier = read_id(where, row, fields, section)
    problem = _problem(row, fields.problem, f"{section}.fields.problem", where)
    for setting, mark in (("problem_prefix", fields.problem_prefix), ("problem_suffix", fields.problem_suffix)):
        if not (problem.startswith(mark) if setting == "problem_prefix" else problem.endswith(mark)):
            raise UnusableRowError(f"{where}: the field '{fields.problem}' lacks the text of {section}.{setting}")
    if fields.problem_prefix or fields.problem_suffix:
        problem = problem.removeprefix(fields.problem_prefix).removesuffix(fields.problem_suffix).strip()
        if not problem:
            raise UnusableRowError(
                f"{where}: the field '{fields.problem}' holds no problem beside its prefix and suffix"
            )
    answer = _answer(_text(row, fields.answer, f"{section}.fields.answer", where), fields, section, where)
    return Question(_hash(problem) if identifier is None else identifier, problem, answer)


def read_id(where: str, row: Mapping[str, object], fields: Fields, section: str) -> str | None:
    """Return the id of a row; None if ``fields.id`` is None, the field is empty, or the default field is missing.

    Raises:
        ValueError: the row lacks the field, and its name is not the default ``id``.
        UnusableRowError: the id is neither text nor a number.
    """
    if fields.id is None or (fields.id == _USUAL_ID and fields.id not in row):
        return None
    setting = f"{section}.fields.id"
    value = field_value(row, fields.id, setting, where)
    if value is None or value != value or (isinstance(value, str) and not value.strip()):  # noqa: PLR0124 - NaN
        return None
    return _text(row, fields.id, setting, where)


def field_value(row: Mapping[str, object], path: str, setting: str, where: str) -> object:
    """Return the value of a row under a name or a path.

    Raises:
        ValueError: there is none; the message names the setting and the fields that exist.
    """
    if path in row:
        return row[path]
    node: object = row
    for key in path.split("."):
        if isinstance(node, Mapping) and key in node:
            node = node[key]
        elif isinstance(node, list | tuple) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            raise ValueError(f"{where}: there is no field '{path}' ({setting}); {_advice(node, key)}")
    return node


def _advice(node: object, key: str) -> str:
    if isinstance(node, Mapping):
        close = get_close_matches(key, [str(name) for name in node], n=1)
        meant = f"did you mean '{close[0]}'? " if close else ""
        return f"{meant}The fields are {', '.join(sorted(map(str, node))) or 'none'}"
    if isinstance(node, list | tuple):
        return f"'{key}' is looked for in a list of {len(node)}, whose items are 0, 1 and so on"
    return f"'{key}' is looked for in {_kind(node)}"


def _problem(row: Mapping[str, object], path: str, setting: str, where: str) -> str:
    try:
        text = user_text(field_value(row, path, setting, where))
    except DialogueError as error:
        raise UnusableRowError(f"{where}: the field '{path}' ({setting}) {error}") from error
    return _text(row, path, setting, where) if text is None else _text({path: text}, path, setting, where)


def _text(row: Mapping[str, object], path: str, setting: str, where: str) -> str:
    value = field_value(row, path, setting, where)
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)
    if not (number or isinstance(value, str)):
        raise UnusableRowError(f"{where}: the field '{path}' ({setting}) must be text or a number, not {_kind(value)}")
    # a column of integers becomes one of floats if a row has no value
    text = str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else str(value)
    if not text.strip():
        raise UnusableRowError(f"{where}: the field '{path}' ({setting}) is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnusableRowError(f"{where}: the field '{path}' holds half a character (a lone surrogate)") from error
    return text


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity"
    return type(value).__name__


def _answer(text: str, fields: Fields, section: str, where: str) -> str:
    if fields.answer_form == "plain":
        return text
    place = f"{where}: the field '{fields.answer}'"
    if fields.answer_form == "boxed":
        found = last_boxed(text) or ""
        if not found.strip():
            raise UnusableRowError(
                f"{place} has no \\boxed{{}} with an answer in it ({section}.fields.answer_form=boxed)"
            )
        return found.strip()
    _, mark, found = text.rpartition("####")
    if not mark or not found.strip():
        raise UnusableRowError(f"{place} has no #### with an answer after it ({section}.fields.answer_form=hashes)")
    return _THOUSANDS.sub("", found.strip())


def _hash(problem: str) -> str:
    return hashlib.sha256(problem.strip().encode()).hexdigest()[:16]
