"""Estimate of the time that a sweep still takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from igrpo.config import RunConfig


@dataclass(frozen=True, slots=True)
class Expected:
    """Predicted seconds of the runs of a sweep, by their number.

    Attributes:
        seconds: each run without its warm start; empty: nothing was measured, and all runs are expected to take equally
            long, as long as those that have finished.
        warm_starts: runs that train the weights which they and others start from, with the seconds of that.
    """

    seconds: Mapping[int, float]
    warm_starts: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Wall-clock seconds of a run so far; ``is_finished`` if that was the whole run."""

    seconds: float
    is_finished: bool


def time_left(expected: Expected, left: Sequence[int], elapsed: Mapping[int, Elapsed], parallel: int) -> float | None:
    """Return the seconds until all runs have ended; None if nothing is known yet.

    The predictions are scaled by how long the finished runs really took. A run that trains a warm start takes longer by
    that time.

    Args:
        expected: the predictions.
        left: numbers of the runs that have not ended.
        elapsed: runs that were started, by their number.
        parallel: number of runs at a time.
    """

    def each(number: int) -> float:
        return expected.seconds.get(number, 1.0)

    def warm(number: int) -> float:
        return expected.warm_starts.get(number, 0.0)

    finished = {number: run.seconds for number, run in elapsed.items() if run.is_finished}
    if not finished and not expected.seconds:
        return None
    took = sum(max(seconds - warm(number), 0.0) for number, seconds in finished.items())
    scale = took / sum(map(each, finished)) if finished else 1.0
    rest = [
        max(each(number) * scale + warm(number) - (elapsed[number].seconds if number in elapsed else 0.0), 0.0)
        for number in left
    ]
    return max(sum(rest) / parallel, *rest) if rest else 0.0


def expect(configs: Mapping[int, RunConfig], seconds: Mapping[int, float]) -> Expected:
    """Predict which runs train a warm start and how long that takes. Imports torch.

    Runs with the same warm start share it: the first one trains it, unless it is in the cache. Its time is that of the
    warm starts that are in the cache.
    """
    from igrpo.assembly.policy import warm_start_entry
    from igrpo.models import weight_cache

    entries = {number: entry for number, config in configs.items() if (entry := warm_start_entry(config)) is not None}
    first: dict[Path, int] = {}
    for number, entry in sorted(entries.items()):
        first.setdefault(entry, number)
    known = [weight_cache.seconds(entry) for entry in first if entry.exists()]
    taken = [value for value in known if value is not None]
    if not taken:
        return Expected(seconds, {})
    mean = sum(taken) / len(taken)
    return Expected(seconds, {number: mean for entry, number in first.items() if not entry.exists()})
