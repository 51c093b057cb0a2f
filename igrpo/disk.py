"""A full disk ends a run with one clear error, and leaves every file whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

#: No space left, quota exceeded, file size limit reached.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskFullError(RuntimeError):
    """There is no room to write; the message names the path, the room, the need and what to do."""


def free_mib(path: Path) -> float:
    """MiB that are free on the disk of a file or folder, existing or not."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**20


def ensure_space(path: Path, needed_mb: float, setting: str) -> None:
    """Stop before the disk is full, while there is still room to write how the run ended.

    Args:
        path: any file or folder on the disk in question, existing or not.
        needed_mb: the least free room, in MiB.
        setting: the name of the setting that holds ``needed_mb``, for the message.

    Raises:
        DiskFullError: less than that is free.
    """
    free_mb = free_mib(path)
    if free_mb < needed_mb:
        raise DiskFullError(
            f"the disk of {path} has {free_mb:.0f} MiB free, and {needed_mb:.0f} MiB are needed ({setting}). "
            f"Free some room and resume the run, or lower {setting}."
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns 'no space left', 'quota exceeded' and 'file too large' into a DiskFullError that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"cannot write {path}: {error.strerror}. Free some room (or raise the quota) and resume the run."
        ) from error


def append_whole(file: FileIO, data: bytes, path: Path) -> None:
    """Append ``data`` to an unbuffered file, all of it or (on a full disk) none.

    Raises:
        DiskFullError: there was no room; the file is what it was before.
    """
    start = file.seek(0, os.SEEK_END)
    with disk_errors(path):
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError:
            file.truncate(start)
            raise
