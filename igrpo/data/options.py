"""Multiple-choice questions: the options of a row, their order, and the problem with lettered options."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence
from typing import Final

from igrpo.data.fields import UnusableRowError, field_value, text_of
from igrpo.seeding import derive_seed
from igrpo.settings.data import FieldNames

#: Letters of the options, in order.
LETTERS: Final = string.ascii_uppercase
_LEAST: Final = 2
_REQUEST: Final = "Answer with the letter of the right option."


def options_of(row: Mapping[str, object], fields: FieldNames, place: str, section: str) -> tuple[tuple[str, ...], int]:
    """Return the options of a row in the order of the data, and the position of the right one.

    Args:
        section: section of the configuration with ``fields``, for messages.

    Raises:
        ValueError: a field is missing.
        UnusableRowError: there are too few or too many options, one is no text, or it is not known which one is right.
    """
    assert fields.options is not None
    setting = f"{section}.options"
    options = tuple(
        text_of(value, path, setting, place).strip()
        for path in fields.options
        for value in _listed(field_value(row, path, setting, place), is_list=len(fields.options) == 1)
    )
    if not _LEAST <= len(options) <= len(LETTERS):
        raise UnusableRowError(
            f"{place}: {setting}={list(fields.options)} gives {len(options)} options, not {_LEAST} to {len(LETTERS)}"
        )
    return options, _right(row, fields, options, place, section)


def shuffled(options: Sequence[str], right: int, identifier: str) -> tuple[tuple[str, ...], int]:
    """Return the options in an order that depends on the id of their question alone, and the right one's position."""
    order = list(range(len(options)))
    random.Random(derive_seed("options", identifier)).shuffle(order)
    return tuple(options[position] for position in order), order.index(right)


def with_options(problem: str, options: Sequence[str]) -> str:
    """Return the problem with its options, a letter before each, and the request to answer with a letter."""
    lettered = "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    return f"{problem.rstrip()}\n\n{lettered}\n\n{_REQUEST}"


def _listed(value: object, *, is_list: bool) -> Sequence[object]:
    return value if is_list and isinstance(value, list | tuple) else [value]


def _right(row: Mapping[str, object], fields: FieldNames, options: Sequence[str], place: str, section: str) -> int:
    assert fields.options is not None
    if fields.answer_form == "option" and fields.answer in fields.options:
        return fields.options.index(fields.answer)  # so that another option may have the same text
    value = field_value(row, fields.answer, f"{section}.answer", place)
    answer = text_of(value, fields.answer, f"{section}.answer", place).strip()
    if fields.answer_form == "letter":
        found = [i for i, letter in enumerate(LETTERS[: len(options)]) if letter == answer.upper()]
    elif fields.answer_form == "index":
        found = [i for i in range(len(options)) if str(i) == answer]
    else:
        found = [i for i, option in enumerate(options) if option == answer]
    if len(found) != 1:
        raise UnusableRowError(
            f"{place}: the field '{fields.answer}' ({section}.answer_form={fields.answer_form}) names {len(found)} of "
            f"{len(options)} options, not one: {answer[:80]!r}"
        )
    return found[0]
