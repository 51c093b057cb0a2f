"""The command line of igrpo that this process executes, which runs and sweeps record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

#: First part of the command of `igrpo.train`, which has no command line.
API = "igrpo.train"

_current: ContextVar[tuple[str, ...]] = ContextVar("command", default=())
_is_part: ContextVar[bool] = ContextVar("is_part", default=False)


def current_command() -> tuple[str, ...]:
    """Return the command; empty outside of ``as_command``, where ``sys.argv`` may be that of another program."""
    return _current.get()


@contextmanager
def as_command(parts: Sequence[str]) -> Iterator[None]:
    """Make ``parts`` the command of what this thread does in the block."""
    token = _current.set(tuple(parts))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def as_part() -> Iterator[None]:
    """Make what is done in the block part of a command that continues all of it, and says so itself."""
    token = _is_part.set(True)
    try:
        yield
    finally:
        _is_part.reset(token)


def recipe(command: str, change: str = "") -> str:
    """Return the end of a message: how to resume, with which ``change``. Within ``as_part`` it names the change alone.

    Two commands that resume the same thing would leave the choice to the reader.
    """
    if _is_part.get():
        return f"; it needs {change}" if change else ""
    return f"; resume with: {' '.join(filter(None, (command, change)))}"


def settings_in(command: Sequence[str]) -> dict[str, str]:
    """Return the settings (key to value) in a command of `igrpo train` or `igrpo.train`; {} for any other command."""
    if API not in command[:1] and "train" not in command[1:2]:
        return {}
    given = (text.lstrip("+").partition("=") for text in command if "=" in text and not text.startswith(("-", "~")))
    return {key: value for key, _, value in given}
