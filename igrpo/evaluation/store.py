"""File of evaluated samples: one line of JSON per sample, appended as samples are drawn."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from igrpo.disk import append_whole, disk_errors
from igrpo.evaluation.samples import EvaluatedSample, SampleKey, sample_line, sample_of

log = logging.getLogger(__name__)

_Key = tuple[str, SampleKey]


class SampleFile:
    """A `SampleStore` in a file, which survives the death of the process at any time.

    What a process that was killed had begun to write is cut off when the file is opened. One process may write to it at
    a time; its directory is locked for that.

    Raises:
        ValueError: a line is not one of a sample.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            _cut_torn_line(path)
        self._samples = _by_key(_read(path))

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def samples(self) -> Mapping[_Key, EvaluatedSample]:
        """The kept samples by question and key, in the order in which they were kept."""
        return self._samples

    def get(self, question: str, key: SampleKey) -> EvaluatedSample | None:
        """Return a kept sample; None if there is none."""
        return self._samples.get((question, key))

    def add(self, samples: Sequence[EvaluatedSample]) -> None:
        """Append samples that are not there yet.

        Raises:
            DiskFullError: the disk is full; the file is unchanged.
        """
        new = [sample for sample in samples if (sample.question, sample.key) not in self._samples]
        if not new:
            return
        text = "".join(json.dumps(sample_line(sample), ensure_ascii=False, allow_nan=False) + "\n" for sample in new)
        with disk_errors(self.path), self.path.open("ab", buffering=0) as file:
            append_whole(file, text.encode("utf-8", "backslashreplace"), self.path)
        self._samples |= _by_key(new)


def read_samples(path: Path) -> list[EvaluatedSample]:
    """Read the samples of a file, without a line that is being written. Of samples with equal keys, the first counts.

    Raises:
        ValueError: a line is not one of a sample.
        FileNotFoundError: there is no such file.
    """
    return list(_by_key(_read(path)).values())


def _by_key(samples: Iterable[EvaluatedSample]) -> dict[_Key, EvaluatedSample]:
    found: dict[_Key, EvaluatedSample] = {}
    for sample in samples:
        found.setdefault((sample.question, sample.key), sample)
    return found


def _read(path: Path) -> Iterable[EvaluatedSample]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield sample_of(json.loads(line))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}, line {number}: not a sample of an evaluation ({type(error).__name__}: {error}); remove "
                    "the line, and its sample is drawn again"
                ) from None


def _cut_torn_line(path: Path) -> None:
    """Remove what stands behind the last line break."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        whole = _end_of_lines(file.fileno(), end)
        if whole < end:
            log.warning("%s ends in a sample that was not written to its end; it is drawn again", path)
            file.truncate(whole)


def _end_of_lines(file: int, size: int, step: int = 1 << 16) -> int:
    """Return the position behind the last line break of a file; 0 if it has none."""
    for end in range(size, 0, -step):
        start = max(end - step, 0)
        at = os.pread(file, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
    return 0
