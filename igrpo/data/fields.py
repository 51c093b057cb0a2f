"""Values of a row's fields: paths into nested fields, texts, numbers and chat messages.

A problem may be a list of chat messages, ``[{"role": "user", "content": "What is 2+2?"}]``. Its text is that of the
user's messages, joined by empty lines. System messages are left out, since the run's own prompt says how to answer.
Assistant messages after the user's last message (the solution, in data for fine-tuning) are left out, too. A dialogue
with an earlier assistant message is not accepted as a question.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from igrpo.messages import nearest

_USER: Final = ("user", "human")
_SYSTEM: Final = ("system", "developer")
#: Possible names of the two fields of a message.
_KEYS: Final = (("role", "content"), ("from", "value"))
#: Whole floats below this are exact.
_EXACT: Final = 2**53


class UnusableRowError(ValueError):
    """A row has no usable problem or answer; the message gives the place of the row and the reason."""


def field_value(row: Mapping[str, object], path: str, setting: str, place: str) -> object:
    """Return the value of a row under a name, or a path of keys and positions (``prompt.0.content``).

    Raises:
        ValueError: there is none; the message names the place, the setting and the fields that exist.
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
            raise ValueError(f"{place}: there is no field '{path}' ({setting}); {_advice(node, key)}")
    return node


def text_of(value: object, path: str, setting: str, place: str) -> str:
    """Return the value of a field, a text or a number, as text.

    Raises:
        UnusableRowError: the value is empty, or neither text nor a finite number.
    """
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)
    if not (number or isinstance(value, str)):
        raise UnusableRowError(f"{place}: the field '{path}' ({setting}) must be text or a number, not {_kind(value)}")
    # a column of integers becomes one of floats if a row has no value
    text = str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else str(value)
    if not text.strip():
        raise UnusableRowError(f"{place}: the field '{path}' ({setting}) is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnusableRowError(f"{place}: the field '{path}' contains half a character (a lone surrogate)") from error
    return text


def problem_of(value: object, path: str, setting: str, place: str) -> str:
    """Return the text of a problem: a text, a number, or chat messages (see the module's docstring).

    Raises:
        UnusableRowError: as `text_of`; or there is no user message, a user message is not text, or an assistant message
            precedes the last user message.
    """
    messages = _messages(value)
    if messages is None:
        return text_of(value, path, setting, place)
    where = f"{place}: the field '{path}' ({setting})"
    turns = [turn for turn, (role, _) in enumerate(messages) if role in _USER]
    if not turns:
        raise UnusableRowError(f"{where} has no user message (its roles: {', '.join(role for role, _ in messages)})")
    others = [role for role, _ in messages[: turns[-1]] if role not in (*_USER, *_SYSTEM)]
    if others:
        raise UnusableRowError(
            f"{where} is a dialogue ({others[0]!r} speaks before the user's last message), not one question"
        )
    texts = [_content(messages[turn][1]) for turn in turns]
    if None in texts:
        raise UnusableRowError(f"{where} has a user message that is not text")
    return text_of("\n\n".join(map(str, texts)), path, setting, place)


def has_system_message(value: object) -> bool:
    """True if the value is a list of messages that contains a system message."""
    return any(role in _SYSTEM for role, _ in _messages(value) or ())


def _messages(value: object) -> list[tuple[str, object]] | None:
    """Return (role, content) of every message; None if the value is not a list of messages."""
    if not isinstance(value, list | tuple) or not value:
        return None
    for role, content in _KEYS:
        if all(isinstance(m, Mapping) and isinstance(m.get(role), str) and content in m for m in value):
            return [(message[role], message[content]) for message in value]
    return None


def _content(content: object) -> str | None:
    """Return the text of a message, with the parts of its content joined; None if a part is not text."""
    parts = content if isinstance(content, list | tuple) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    return "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else None


def _advice(node: object, key: str) -> str:
    if isinstance(node, Mapping):
        near = nearest(key, map(str, node))
        meant = "" if near is None else f"did you mean '{near}'? "
        return f"{meant}The fields are {', '.join(sorted(map(str, node))) or 'none'}"
    if isinstance(node, list | tuple):
        return f"'{key}' was looked up in a list of {len(node)}, whose items are 0, 1 and so on"
    return f"'{key}' was looked up in {_kind(node)}"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity"
    return type(value).__name__
