"""Handling of a full disk: one clear error, and no partly written file."""

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
    """There is not enough disk space; the message names the path and says what to do."""


def free_mib(path: Path) -> float:
    """Return the free MiB on the disk of a file or folder, which need not exist."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**20


def require_free(target: Path, needed_mib: float, advice: str) -> None:
    """Check that a file or folder of ``needed_mib`` MiB can be written; ``advice`` ends the message.

    Raises:
        ValueError: less space is free.
    """
    if (free := free_mib(target)) < needed_mib:
        raise ValueError(f"{target} needs {needed_mib:.0f} MiB, and {free:.0f} MiB are free there; {advice}")


def ensure_space(path: Path, needed_mb: float, setting: str) -> None:
    """Check that enough disk space is free, so that a run stops while it can still write how it ended.

    Args:
        path: any file or folder on the disk, which need not exist.
        needed_mb: minimum free space, in MiB.
        setting: name of the setting that holds ``needed_mb``, for the message.

    Raises:
        DiskFullError: less space is free.
    """
    free_mb = free_mib(path)
    if free_mb < needed_mb:
        raise DiskFullError(
            f"the disk of {path} has {free_mb:.0f} MiB free, and {needed_mb:.0f} MiB are needed ({setting}). "
            f"Free some room and resume the run, or lower {setting}."
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn 'no space left', 'quota exceeded' and 'file too large' errors into a DiskFullError that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"cannot write {path}: {error.strerror}. Free some room (or raise the quota) and resume the run."
        ) from error


def append_whole(file: FileIO, data: bytes, path: Path) -> None:
    """Append all of ``data`` to an unbuffered file, or nothing if the disk is full.

    Raises:
        DiskFullError: the disk is full; the file is unchanged.
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
