"""A run's directory: taken by one run alone, with its settings and its log in it."""

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
#: What a run of a sweep that has a process of its own would print on a console.
CONSOLE_FILE = "console.txt"

#: Give a log record ``extra={FILE_ONLY: True}`` to keep it off the console.
FILE_ONLY = "file_only"


def claim(wanted: Path, *, chosen: bool, setting: str) -> Path:
    """Make a directory that no other start can have, and return its absolute path.

    A default one that exists already (two starts within a second) gets a number at its end. One that the user
    ``chosen`` is taken as it is, but must be empty.

    Raises:
        ConfigError: the chosen directory holds files, or cannot be made; ``setting`` is the key to change.
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
    """Take back a claimed directory in which nothing was started."""
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


@contextmanager
def run_log(run_dir: Path) -> Iterator[None]:
    """Python's logging and warnings into the run's log.txt, warnings on the console as well."""
    in_file = logging.FileHandler(run_dir / LOG_FILE, encoding="utf-8")
    in_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    in_file.setLevel(logging.INFO)
    # rich's own console, so that a progress bar and a warning do not write over each other
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
