"""Lock of a run directory: a file lock of the operating system, and a note that names the holder."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from igrpo.disk import disk_errors
from igrpo.files import write_json_atomic
from igrpo.runs.process import ProcessMark

_log = logging.getLogger(__name__)


class RunDirectoryLockedError(ValueError):
    """Another process works in the run directory; the message names it."""


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Lock the run directory for this process.

    The lock of a dead process is taken over, even if a surviving child process keeps the lock file open.

    Raises:
        RunDirectoryLockedError: a living process, or a process on another host, holds the lock.
    """
    note = directory / ".lock.json"
    # The guard is held only briefly. It makes 'take the lock and write the note' one action: no process sees a held
    # lock next to the note of an earlier holder, and no two processes take over at the same time.
    with disk_errors(directory), FileLock(directory / ".lock.guard", timeout=30):
        lock = _acquire(directory, note)
        write_json_atomic(note, asdict(ProcessMark.current()))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def holder(directory: Path) -> ProcessMark | None:
    """Return the process that holds this directory's lock, or held it when it died; None if there is none."""
    try:
        return ProcessMark(**json.loads((directory / ".lock.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _acquire(directory: Path, note: Path) -> FileLock:
    path = directory / ".lock"
    lock = FileLock(path)
    mark = holder(directory)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if mark is None or not mark.is_dead():
            raise RunDirectoryLockedError(_locked_message(directory, mark)) from None
        # The holder is dead, but a child of it still has the file open: unlink that file and lock a new one.
        path.unlink()
        lock = FileLock(path)
        lock.acquire(timeout=0)
    if mark is not None:
        _log.info("the lock of %s was left behind by %s, which has ended; taken over", directory, mark)
    return lock


def _locked_message(directory: Path, mark: ProcessMark | None) -> str:
    who = "another process"
    if mark is not None:
        since = datetime.fromtimestamp(mark.started, UTC)
        who = f"{mark}, started {since:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"run directory {directory} is in use by {who}. Wait until it ends, stop it, or choose another run directory."
    )
