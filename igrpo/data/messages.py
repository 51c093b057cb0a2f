"""A problem that is stored as chat messages: ``[{"role": "user", "content": "What is 2+2?"}]``.

The problem is what the user says; several messages of the user are joined by an empty line. System messages are left
out, since the run's own prompt says how to answer, and so is what the assistant says after the user's last message
(the solution, in data for fine-tuning). A dialogue in which the assistant speaks before that is no question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_USER: Final = ("user", "human")
_SYSTEM: Final = ("system", "developer")
#: Names of the two fields of a message.
_KEYS: Final = (("role", "content"), ("from", "value"))


class DialogueError(ValueError):
    """Messages that are no question; the message says why."""


def user_text(value: object) -> str | None:
    """The text of the user's messages; None: the value is no list of messages.

    Raises:
        DialogueError: there is no message of the user, one is not text, or the assistant speaks before the last one.
    """
    messages = _messages(value)
    if messages is None:
        return None
    places = [place for place, (role, _) in enumerate(messages) if role in _USER]
    if not places:
        raise DialogueError(f"has no message of the user (its roles: {', '.join(role for role, _ in messages)})")
    others = [role for role, _ in messages[: places[-1]] if role not in (*_USER, *_SYSTEM)]
    if others:
        raise DialogueError(f"is a dialogue ({others[0]!r} speaks before the user's last message), not one question")
    return "\n\n".join(_content(messages[place][1]) for place in places)


def has_system_message(value: object) -> bool:
    """Return whether the value is a list of messages with one of the system."""
    return any(role in _SYSTEM for role, _ in _messages(value) or ())


def _messages(value: object) -> list[tuple[str, object]] | None:
    if not isinstance(value, list | tuple) or not value:
        return None
    for role, content in _KEYS:
        if all(isinstance(one, Mapping) and isinstance(one.get(role), str) and content in one for one in value):
            return [(one[role], one[content]) for one in value]
    return None


def _content(content: object) -> str:
    """A message's text, be it in parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise DialogueError("has a message of the user that is not text")
    return "".join(map(str, texts))
