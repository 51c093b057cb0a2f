"""Data model of the part 'Across tasks' of a report: aggregates over several tasks, as rliable defines them."""

from __future__ import annotations

from igrpo.report.part import Part


class MethodScores(Part):
    """Scores of a method and their interquartile mean with its 95 % interval.

    Attributes:
        scores: single-shot accuracy after training, by task; one per seed, in ascending order of the seeds.
        profile: share of the scores above each of ``Across.thresholds``.
        profile_low, profile_high: 95 % interval at each threshold.
    """

    method: str
    scores: dict[str, tuple[float, ...]]
    mean: float
    iqm: float
    interval: tuple[float, float]
    profile: tuple[float, ...]
    profile_low: tuple[float, ...]
    profile_high: tuple[float, ...]


class Improvement(Part):
    """Probability that a run of the second method of ``pair`` beats one of the first on a task drawn at random."""

    pair: tuple[str, str]
    probability: float
    interval: tuple[float, float]


class Across(Part):
    """Aggregates over ``tasks`` of the methods that were run on all of them.

    Attributes:
        seeds: runs per method and task: the fewest of any.
        resamples: number of stratified bootstrap resamples of each interval.
        left_out: methods that were not run on every task, and tasks that were left out.
        readings: what can be read off, in sentences made from the numbers.
    """

    tasks: tuple[str, ...]
    seeds: int
    resamples: int
    thresholds: tuple[float, ...]
    methods: tuple[MethodScores, ...]
    improvements: tuple[Improvement, ...]
    left_out: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()
