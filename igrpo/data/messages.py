"""Problems stored as chat messages: ``[{"role": "user", "content": "What is 2+2?"}]``.

The problem is the text of the user's messages, joined by empty lines. System messages are left out, since the run's own
prompt says how to answer. Assistant messages after the user's last message (the solution, in data for fine-tuning) are
left out, too. A dialogue with an earlier assistant message is not accepted as a question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_USER: Final = ("user", "human")
_SYSTEM: Final = ("system", "developer")
#: Possible names of the two fields of a message.
_KEYS: Final = (("role", "content"), ("from", "value"))


class DialogueError(ValueError):
    """The messages are not a question; the error message gives the reason."""


def user_text(value: object) -> str | None:
    """Return the text of the user's messages; None if the value is not a list of messages.

    Raises:
        DialogueError: there is no user message, a user message is not text, or an assistant message precedes the last
            user message.
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
    """True if the value is a list of messages that contains a system message."""
    return any(role in _SYSTEM for role, _ in _messages(value) or ())


def _messages(value: object) -> list[tuple[str, object]] | None:
    if not isinstance(value, list | tuple) or not value:
        return None
    for role, content in _KEYS:
        if all(isinstance(one, Mapping) and isinstance(one.get(role), str) and content in one for one in value):
            return [(one[role], one[content]) for one in value]
    return None


def _content(content: object) -> str:
    """Return the text of a message, with the parts of its content joined."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise DialogueError("has a message of the user that is not text")
    return "".join(map(str, texts))
