"""The user's cache directory: its path, the paths of models in it, and a lock per entry."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

CACHE_DIR_VARIABLE = "IGRPO_CACHE_DIR"


def cache_root() -> Path:
    """Return ``IGRPO_CACHE_DIR`` if it is set, else the user's cache directory."""
    override = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("igrpo", appauthor=False))


def cached_model(name: str) -> Path:
    """Return the directory for a model prepared on this machine, whether it exists or not."""
    return cache_root().absolute() / "models" / name


@contextmanager
def locked(entry: Path) -> Iterator[None]:
    """Hold the entry's lock, waiting while another process holds it (the lock is released if that process dies).

    Raises:
        ValueError: the cache directory cannot be written.
    """
    lock = FileLock(entry.with_suffix(".lock"))
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is preparing %s: waiting for it", entry.name)
            lock.acquire()
    except OSError as error:
        raise ValueError(
            f"the cache directory {entry.parent} cannot be written ({error.strerror or error}): "
            f"set {CACHE_DIR_VARIABLE} to one that can"
        ) from error
    try:
        yield
    finally:
        lock.release()
