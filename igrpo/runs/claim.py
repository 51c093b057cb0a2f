"""Reservation of a run's directory, and the run's log file."""

from __future__ import annotations

import itertools
import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.logging import RichHandler

from igrpo.config import ConfigError
from igrpo.runs.console import get_console

CONFIG_FILE = "config.yaml"
LOG_FILE = "log.txt"
#: Console output of a sweep's run that has its own process.
CONSOLE_FILE = "console.txt"

#: Key for ``extra={FILE_ONLY: True}`` of a log record, which keeps it off the console.
FILE_ONLY = "file_only"


def claim(wanted: Path, *, chosen: bool, setting: str) -> Path:
    """Create a directory for this run only, and return its absolute path.

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
                what = "holds files already; choose another directory, or go on with"
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
            [f"{setting}={wanted}: cannot be made ({error.strerror}); choose another directory"]
        ) from None
    raise AssertionError("itertools.count ends never")


def remove_if_empty(directory: Path) -> None:
    """Remove a claimed directory if nothing was started in it."""
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


@contextmanager
def run_log(run_dir: Path) -> Iterator[None]:
    """Write Python's logging and warnings to the run's log.txt, and warnings to the console as well."""
    in_file = logging.FileHandler(run_dir / LOG_FILE, encoding="utf-8")
    in_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    in_file.setLevel(logging.INFO)
    # the shared rich console, so that a progress bar and a warning do not overwrite each other
    on_console = RichHandler(logging.WARNING, get_console(), show_time=False, show_path=False)
    on_console.addFilter(lambda record: FILE_ONLY not in record.__dict__)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    for handler in (in_file, on_console):
        root.addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for handler in (in_file, on_console):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
