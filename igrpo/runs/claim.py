"""Reservation of a directory for a new run or sweep."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

from igrpo.config import ConfigError

#: Files that are there before anything has begun: those of `igrpo.runs.run_lock` and `igrpo.runs.log_file`.
_OF_A_START = frozenset({".lock", ".lock.guard", ".lock.json", "log.txt"})


def claim(wanted: Path, *, chosen: bool, setting: str) -> Path:
    """Create a directory for one run or sweep, and return its absolute path.

    If a default directory already exists (two starts within a second), a number is appended to its name. A directory
    that the user has ``chosen`` may exist, but must be empty.

    Raises:
        ConfigError: the chosen directory contains files or cannot be created; ``setting`` is the key to change.
    """
    wanted = wanted.absolute()
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if chosen:
            wanted.mkdir(exist_ok=True)
            if any(wanted.iterdir()):
                what = "contains files already; choose another directory, or resume with"
                raise ConfigError([f"{setting}={wanted}: {what} {shlex.quote(f'resume={wanted}')}"])
            return wanted
        for number in itertools.count(1):
            path = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise ConfigError(
            [f"{setting}={wanted}: cannot be created ({error.strerror}); choose another directory"]
        ) from None
    raise AssertionError("itertools.count never ends")


def remove_if_empty(directory: Path) -> None:
    """Remove a claimed directory if nothing was started in it."""
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def remove_unbegun(directory: Path) -> None:
    """Remove a claimed directory in which nothing but a lock and a log was left. Any other file keeps all of it."""
    entries = list(directory.iterdir()) if directory.is_dir() else []
    if all(entry.name in _OF_A_START for entry in entries):
        for entry in entries:
            entry.unlink()
        remove_if_empty(directory)
