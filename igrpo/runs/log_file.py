"""Log file of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.logging import RichHandler

from igrpo.runs.console import get_console
from igrpo.runs.run_directory import RunDirectory

#: Key for ``extra={FILE_ONLY: True}`` of a log record, which keeps it off the console.
FILE_ONLY = "file_only"


@contextmanager
def run_log(run_dir: Path) -> Iterator[None]:
    """Write Python's logging and warnings to the run's log.txt, and warnings to the console as well."""
    in_file = logging.FileHandler(RunDirectory(run_dir).log, encoding="utf-8")
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
