"""Gains by difficulty: what training changed on questions of which the start had few or many samples right.

Regression to the mean is kept out. A question that is chosen because few of its samples were right by chance has more
right ones the next time, without any training. Therefore the samples that choose a question's bin never measure its
start: either one half of the samples chooses and the other measures, and then the other way round, or (with one sample
per question) the starts of the other seeds choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from igrpo.report.clustered import Value, clustered_mean
from igrpo.report.conditions import RunGroup
from igrpo.report.dynamics_model import GainBin, GainDifference, Gains
from igrpo.report.run_files import Verdicts, read_verdicts
from igrpo.report.runs import LoadedRun
from igrpo.runs.run_directory import RunDirectory

#: Verdicts of the samples of each question.
_Sampled = Mapping[str, tuple[bool, ...]]

#: Probability that any interval of a pair misses.
_ERROR = 0.05

#: From so many samples on, the shares between 0 and 1 are put into three bins.
_MANY = 4


@dataclass(frozen=True, slots=True)
class _Placed:
    """Question at a seed in the bin that part of its samples at the start chose; ``start``: share right of the rest."""

    question: str
    seed: int
    bin: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Starts:
    """Evaluations before and after training by seed, on one split."""

    split: str
    before: Mapping[int, _Sampled]
    after: Mapping[int, _Sampled]


def bins(samples: int) -> tuple[str, ...]:
    """Return the names of the bins of the share right among ``samples``: each possible share while these are few."""
    if samples < _MANY:
        return ("0", *(f"{i}/{samples}" for i in range(1, samples)), "1")
    return ("0", "(0, 1/3]", "(1/3, 2/3]", "(2/3, 1)", "1")


def bin_of(verdicts: Sequence[bool]) -> str:
    """Return the bin of a question with these verdicts."""
    right, samples = sum(verdicts), len(verdicts)
    names = bins(samples)
    if right in (0, samples):
        return names[0] if right == 0 else names[-1]
    return names[right] if samples < _MANY else names[-(-3 * right // samples)]  # (i - 1) / 3 < share <= i / 3


def gains(task: str, group: RunGroup) -> Gains | None:
    """Return the gains of a condition; None if a run has no start, or too few samples to choose and to measure."""
    found = _starts(group)
    if found is None or (placed := _place(found)) is None:
        return None
    chosen_by, entries, names = placed
    return Gains(
        task=task,
        condition=group.name,
        split=found.split,
        samples=_fewest(found),
        chosen_by=chosen_by,
        bins=tuple(_bins(entries, names)),
    )


def gain_differences(task: str, first: RunGroup, second: RunGroup) -> GainDifference | None:
    """Compare the ends of two conditions at common seeds by the bins that the first one's start chose.

    The intervals hold together: each has its Bonferroni share of the error.
    """
    one, other = _starts(first), _starts(second)
    if one is None or other is None or one.split != other.split or (placed := _place(one)) is None:
        return None
    _, entries, names = placed
    values: dict[str, list[Value]] = {name: [] for name in names}
    for entry in entries:
        end = other.after.get(entry.seed, {}).get(entry.question)
        if end is not None:
            values[entry.bin].append(Value(entry.question, entry.seed, fmean(end) - entry.end))
    level = 1 - _ERROR / max(1, sum(bool(own) for own in values.values()))
    found = {name: mean for name, own in values.items() if (mean := clustered_mean(own, level)) is not None}
    return GainDifference(task=task, pair=(first.name, second.name), bins=found) if found else None


def _bins(entries: Sequence[_Placed], names: Sequence[str]) -> Iterator[GainBin]:
    for name in names:
        own = [entry for entry in entries if entry.bin == name]
        gain = clustered_mean([Value(entry.question, entry.seed, entry.end - entry.start) for entry in own])
        if gain is not None:
            start, end = fmean(entry.start for entry in own), fmean(entry.end for entry in own)
            yield GainBin(name=name, start=start, end=end, gain=gain)


def _place(found: _Starts) -> tuple[Literal["halves", "other seeds"], list[_Placed], tuple[str, ...]] | None:
    """Put each question of each seed into bins; None if nothing can choose that does not also measure."""
    fewest = _fewest(found)
    if fewest > 1:  # the same number of samples chooses in both directions
        return "halves", list(_by_halves(found, fewest // 2)), bins(fewest // 2)
    seeds = list(found.before)
    again = any(found.before[a] == found.before[b] for i, a in enumerate(seeds) for b in seeds[:i])
    if len(seeds) < 2 or again:  # a start that several seeds share was measured once
        return None
    return "other seeds", list(_by_other_seeds(found)), bins(len(seeds) - 1)


def _by_halves(found: _Starts, size: int) -> Iterator[_Placed]:
    for seed, question, start, end in _questions(found):
        for chosen, rest in ((start[:size], start[size:]), (start[-size:], start[:-size])):
            yield _Placed(question, seed, bin_of(chosen), fmean(rest), fmean(end))


def _by_other_seeds(found: _Starts) -> Iterator[_Placed]:
    for seed, question, start, end in _questions(found):
        others = [own[question] for other, own in found.before.items() if other != seed and question in own]
        if len(others) == len(found.before) - 1:
            yield _Placed(question, seed, bin_of([verdicts[0] for verdicts in others]), fmean(start), fmean(end))


def _questions(found: _Starts) -> Iterator[tuple[int, str, tuple[bool, ...], tuple[bool, ...]]]:
    for seed, before in found.before.items():
        after = found.after[seed]
        for question, start in before.items():
            if question in after:
                yield seed, question, start, after[question]


def _fewest(found: _Starts) -> int:
    return min(len(verdicts) for before in found.before.values() for verdicts in before.values())


def _starts(group: RunGroup) -> _Starts | None:
    """Return the evaluations of the test split; of the development split if a run was not tested before training."""
    on_test = {seed: (run.before, run.after) for seed, run in group.runs.items()}
    development = {} if all(before for before, _ in on_test.values()) else _development(group)
    for split, pairs in (("test", on_test), ("development", development)):
        before = {seed: pair[0].sampled for seed, pair in pairs.items() if pair[0] is not None}
        after = {seed: pair[1].sampled for seed, pair in pairs.items() if pair[1] is not None}
        if pairs and len(before) == len(after) == len(pairs):
            return _Starts(split, before, after)
    return None


def _development(group: RunGroup) -> dict[int, tuple[Verdicts | None, Verdicts | None]]:
    return {seed: _development_of(run) for seed, run in group.runs.items()}


def _development_of(run: LoadedRun) -> tuple[Verdicts | None, Verdicts | None]:
    if run.path is None or run.summary is None:
        return None, None
    folder = RunDirectory(run.path).evaluations
    files = [folder / f"development-{step:06d}.json" for step in (0, run.summary.steps)]
    try:
        return read_verdicts(files[0]), read_verdicts(files[1])
    except ValueError:  # not measured: the caller says that there are no gains
        return None, None
