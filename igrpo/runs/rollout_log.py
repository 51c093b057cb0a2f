"""Log of every sample of every step, as compressed JSONL.

Each step is appended as one gzip member to a file of ``steps_per_file`` steps. If the process is killed, at most the
last member is incomplete: readers skip it, and the next append cuts it off. ``zcat`` and all gzip readers can read the
files.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from igrpo.disk import append_whole, disk_errors
from igrpo.runs.strict_json import compact_json

_log = logging.getLogger(__name__)

_NAME = re.compile(r"steps-(\d+)-(\d+)\.jsonl\.gz")
_GZIP = 31  # zlib's code for a gzip header and trailer
_CHUNK = 1 << 20


class RolloutLog:
    """Appends steps to the files of a folder and deletes the oldest files beyond the limit.

    Args:
        folder: folder of the files.
        steps_per_file: number of steps per file.
        keep_files: number of files to keep, including the current one (None: all).
    """

    def __init__(self, folder: Path, *, steps_per_file: int = 10, keep_files: int | None = None) -> None:
        if steps_per_file < 1:
            raise ValueError(f"steps_per_file is {steps_per_file}: a file holds at least one step")
        if keep_files is not None and keep_files < 1:
            raise ValueError(f"keep_files is {keep_files}: at least the current file is kept (null keeps all)")
        self.folder = folder
        self.steps_per_file = steps_per_file
        self.keep_files = keep_files
        self._current: Path | None = None

    def append(self, step: int, lines: Sequence[dict[str, Any]]) -> None:
        """Write one step's lines as one gzip member.

        Raises:
            DiskFullError: the disk is full; the file is unchanged.
        """
        if not lines:
            return
        path = self.folder / self._file_name(step)
        text = "".join(compact_json(line) + "\n" for line in lines)
        packer = zlib.compressobj(wbits=_GZIP)
        member = packer.compress(text.encode()) + packer.flush()
        if path != self._current:
            with disk_errors(path):
                self.folder.mkdir(parents=True, exist_ok=True)
                _cut_torn_tail(path)
            self._current = path
        with disk_errors(path), path.open("ab", buffering=0) as file:
            append_whole(file, member, path)
        self._drop_oldest()

    def truncate_after(self, step: int) -> None:
        """Drop the steps after ``step``, which a resumed run samples again."""
        self._current = None
        for path in rollout_files(self.folder):
            if _steps_of(path)[0] > step:
                path.unlink()
                continue
            for member in _members(path):
                if member.step > step:
                    _cut(path, member.start)
                    break

    def _file_name(self, step: int) -> str:
        first = max(0, (step - 1) // self.steps_per_file * self.steps_per_file + 1)
        last = first + self.steps_per_file - 1 if step else 0
        return f"steps-{first:06d}-{last:06d}.jsonl.gz"

    def _drop_oldest(self) -> None:
        if self.keep_files is None:
            return
        for oldest in rollout_files(self.folder)[: -self.keep_files]:
            oldest.unlink()
            _log.info("dropped the rollout log %s (limit: %d files)", oldest, self.keep_files)


def rollout_files(folder: Path) -> list[Path]:
    """Return the files of a rollout log, oldest steps first."""
    return sorted((path for path in folder.glob("steps-*.jsonl.gz") if _NAME.fullmatch(path.name)), key=_steps_of)


def read_rollouts(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of one file, or of all files of a folder in the order of steps, without an incomplete end."""
    for file in rollout_files(path) if path.is_dir() else [path]:
        yield from map(json.loads, read_rollout_text(file))


def read_rollout_text(path: Path) -> Iterator[bytes]:
    """Yield the lines of one file as they are, for readers that need a part of them."""
    for member in _members(path):
        yield from member.data.splitlines()


class _Member(NamedTuple):
    """A complete gzip member: bytes [start, end) of the file, and the decompressed ``data``."""

    start: int
    end: int
    data: bytes

    @property
    def step(self) -> int:
        return int(json.loads(self.data[: self.data.index(b"\n")])["step"])


def _members(path: Path) -> Iterator[_Member]:
    """Yield the complete members of a file, up to the first incomplete one."""
    start = read = 0
    unpacker, parts = zlib.decompressobj(wbits=_GZIP), list[bytes]()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            read += len(chunk)
            while chunk:
                try:
                    parts.append(unpacker.decompress(chunk))
                except zlib.error:
                    return
                if not unpacker.eof:
                    break
                chunk = unpacker.unused_data
                yield _Member(start, read - len(chunk), b"".join(parts))
                start = read - len(chunk)
                unpacker, parts = zlib.decompressobj(wbits=_GZIP), []


def _cut_torn_tail(path: Path) -> None:
    if path.exists():
        end = max((member.end for member in _members(path)), default=0)
        if end < path.stat().st_size:
            _log.warning("%s ends in a step that was not written to its end; that step is cut off", path)
            _cut(path, end)


def _cut(path: Path, size: int) -> None:
    if size == 0:
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.truncate(size)


def _steps_of(path: Path) -> tuple[int, int]:
    match = _NAME.fullmatch(path.name)
    assert match, path
    return int(match[1]), int(match[2])
