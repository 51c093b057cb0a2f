"""Progress of an evaluation: one line that is redrawn on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType

from igrpo.console import footer_of
from igrpo.evaluation.sampler import SampleStore
from igrpo.evaluation.samples import SINGLE_SHOT, EvaluatedSample, SampleKey
from igrpo.evaluation.store import SampleFile
from igrpo.training.progress import bar_line, clock

#: Lines per benchmark where nothing is redrawn.
_LINES = 10


class EvaluationProgress:
    """Counts the samples of all benchmarks, and shows those of the current one with the time that is left.

    The time left is that of all benchmarks, at the pace of this process so far.

    Args:
        console: where it is shown.
        planned: number of samples per benchmark.
        kept: those of them that were there before.
    """

    def __init__(self, console: Console, planned: Mapping[str, int], kept: Mapping[str, int]) -> None:
        self._console, self._footer = console, footer_of(console)
        self._planned, self._done = dict(planned), dict(kept)
        self._start, self._drawn = time.monotonic(), 0
        self._name, self._line_at = "", 0
        self._answers, self._right = 0, 0

    @contextmanager
    def benchmark(self, name: str, file: SampleFile) -> Iterator[SampleStore]:
        """Show a benchmark, and yield its store, which is to be used instead of ``file``."""
        self._name, self._line_at = name, self._done[name] + self._step(name)
        self._answers = self._right = 0
        self._count(list(file.samples.values()))
        self._footer.add(self._line)
        if not self._footer.is_live:
            kept = f", {self._done[name]} kept" if self._done[name] else ""
            self._console.print(f"{name}: {self._planned[name]} samples{kept}", soft_wrap=True, markup=False)
        try:
            yield _Watched(file, self)
        finally:
            self._footer.remove(self._line)

    def add(self, samples: Sequence[EvaluatedSample]) -> None:
        """Count samples that were just kept."""
        self._done[self._name] += len(samples)
        self._drawn += len(samples)
        self._count(samples)
        if not self._footer.is_live and self._done[self._name] >= self._line_at:
            self._line_at = self._done[self._name] + self._step(self._name)
            counts = f"{self._done[self._name]}/{self._planned[self._name]}"
            line = f"{self._name}  {counts}  {self._status()}  {self._left()}"
            self._console.print(line.rstrip(), soft_wrap=True, markup=False)

    def _step(self, name: str) -> int:
        return max(self._planned[name] // _LINES, 1)

    def _count(self, samples: Sequence[EvaluatedSample]) -> None:
        answers = [sample for sample in samples if sample.kind == SINGLE_SHOT and sample.scored]
        self._answers += len(answers)
        self._right += sum(sample.correct for sample in answers)

    def _status(self) -> str:
        return f"{self._right / self._answers:.1%} right" if self._answers else ""

    def _left(self) -> str:
        missing = sum(max(self._planned[name] - self._done[name], 0) for name in self._planned)
        if not self._drawn or not missing:
            return ""
        return f"{clock((time.monotonic() - self._start) / self._drawn * missing)} left"

    def _line(self) -> RenderableType:
        counts = self._done[self._name], self._planned[self._name]
        return bar_line(self._console.width, self._name, counts, self._status(), self._left())


class _Watched:
    """A store that reports what it keeps."""

    def __init__(self, file: SampleFile, progress: EvaluationProgress) -> None:
        self._file, self._progress = file, progress

    def get(self, question: str, key: SampleKey) -> EvaluatedSample | None:
        return self._file.get(question, key)

    def add(self, samples: Sequence[EvaluatedSample]) -> None:
        self._file.add(samples)
        self._progress.add(samples)
