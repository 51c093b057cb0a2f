"""Files and folders that are either whole or absent."""

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
    """A temporary path beside ``target`` that becomes ``target`` when the block ends well, and vanishes when not."""
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
    """A temporary folder beside ``target`` that becomes it when the block ends well, and vanishes when not.

    Raises:
        ValueError: it cannot be made there; the message ends with ``advice``.
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
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors' own files are for the owner alone
        temporary.replace(target)  # an empty directory that is there already is taken over
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text_atomic(target: Path, text: str) -> None:
    """Write ``text`` (UTF-8) so that a reader sees the old file or the new one, never a part."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json_atomic(target: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN and infinity are refused: they are no JSON."""
    write_text_atomic(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
