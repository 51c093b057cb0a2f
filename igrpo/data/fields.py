"""One row of a data set as a question: where its parts are, and how the answer lies in its field."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from igrpo.data.boxed import last_boxed
from igrpo.types import Question

AnswerForm = Literal["plain", "boxed", "hashes"]

_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


class UnusableRowError(ValueError):
    """A row without a problem or an answer that can be used; the message says where it stands, and why."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Where a row has what.

    A name may be a path into a field: keys and positions with dots between them (``prompt.0.content``). ``id=None``
    takes a hash of the problem. ``answer_form``: ``plain`` is the field itself, ``boxed`` the content of its last
    ``\\boxed{}``, ``hashes`` what stands after its last ``####``, without the commas of thousands. The prefix and the
    suffix must stand around every problem, and are taken off.
    """

    id: str | None = "id"
    problem: str = "problem"
    answer: str = "answer"
    answer_form: AnswerForm = "plain"
    problem_prefix: str = ""
    problem_suffix: str = ""


def read_question(where: str, row: Mapping[str, object], fields: Fields, section: str) -> Question:
    """The question of a row.

    Args:
        where: the place of the row, for messages.
        row: the row.
        fields: the names of its fields.
        section: the section of the configuration that has ``fields``, for messages (``data``).

    Raises:
        ValueError: there is no such field.
        UnusableRowError: a field is empty or no text, or its text is not of the form that was promised.
    """
    identifier = None if fields.id is None else _text(row, fields.id, f"{section}.fields.id", where)
    problem = _text(row, fields.problem, f"{section}.fields.problem", where)
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


def field_value(row: Mapping[str, object], path: str, setting: str, where: str) -> object:
    """What a row has under a name or a path.

    Raises:
        ValueError: nothing; the message names the setting that asked, and what there is instead.
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


def _text(row: Mapping[str, object], path: str, setting: str, where: str) -> str:
    value = field_value(row, path, setting, where)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:  # noqa: PLR0124 - NaN
        raise UnusableRowError(f"{where}: the field '{path}' ({setting}) must be text or a number, not {_kind(value)}")
    text = str(value)
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
    return "NaN" if isinstance(value, float) and math.isnan(value) else type(value).__name__


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
