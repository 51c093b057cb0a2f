"""Atomic writing of files and folders."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``target``, which replaces ``target`` if the block succeeds, else is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(target: Path, advice: str) -> Iterator[Path]:
    """Yield a temporary folder next to ``target``, which is renamed to it if the block succeeds, else removed.

    Raises:
        ValueError: the folder cannot be created there; the message ends with ``advice``.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise ValueError(f"{target} cannot be made ({error.strerror}); {advice}") from None
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors makes files that only the owner can read
        temporary.replace(target)  # replaces an existing empty directory, too
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text_atomic(target: Path, text: str) -> None:
    """Write ``text`` (UTF-8) atomically: a reader sees the old file or the new one."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json_atomic(target: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN and infinity raise a ValueError: they are not valid JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # UTF-8 has no lone surrogates, which a model's text may hold; escaped they are JSON.
    write_text_atomic(target, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def shown_path(path: Path) -> str:
    """Return a path for people: relative to the working directory if it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
