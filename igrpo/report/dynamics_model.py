"""Data model of the part 'Learning dynamics' of a report: courses of training, gains by difficulty, failed questions.

Accuracies and rewards are as in `igrpo.report.model`; entropies are in nats per token, lengths in tokens. Percent of
training is 100 times the number of updates before a measurement, divided by the number of updates of the whole run.
"""

from __future__ import annotations

from typing import Literal

from igrpo.report.part import Part


class Band(Part):
    """Course of one condition in training: the mean over its seeds with a 95 % interval at each point.

    ``measure`` is a key of `igrpo.report.measures.MEASURES`. ``axis``: ``percent`` (of training), or ``accuracy``
    (single-shot, development split). ``low`` and ``high`` are Student's t interval over the seeds; they equal the mean
    at points with one seed. On the axis of accuracy the mean is read off straight lines between the evaluations of each
    seed; ``measured`` has these evaluations as (x, y), and is empty on the other axis, where all points are measured.
    """

    task: str
    condition: str
    measure: str
    axis: Literal["percent", "accuracy"]
    seeds: int
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    measured: tuple[tuple[float, float], ...] = ()


class CourseDifference(Part):
    """Difference of two conditions in a measure, second minus first of ``pair``, averaged over a range of ``axis``.

    Attributes:
        between: ends of the range: percent of training, or the accuracies that both conditions passed at every seed.
        starts: the first value of each condition, mean over the common seeds; on the axis of accuracy, that at each
            seed's lowest accuracy.
        means: average of each over the range.
        interval: 95 % interval over the seeds (Student's t on their paired differences). None with one seed, or if all
            seeds have the same difference.
        points: measurements per run that the averages are made of (steps or evaluations); the fewest of any run.
    """

    task: str
    pair: tuple[str, str]
    measure: str
    axis: Literal["percent", "accuracy"]
    between: tuple[float, float]
    starts: tuple[float, float]
    means: tuple[float, float]
    difference: float
    interval: tuple[float, float] | None
    seeds: int
    points: int


class ClusteredMean(Part):
    """Mean of values of questions at seeds, with a 95 % interval for other questions and seeds (see `clustered`).

    ``interval`` is None for a single question, for a single seed, and if the values have no spread.
    """

    mean: float
    interval: tuple[float, float] | None
    values: int
    questions: int
    seeds: int


class GainBin(Part):
    """Questions whose share right, of the samples at the start that chose, was in a bin, and what became of them.

    Attributes:
        name: the bin of the samples that chose it, such as "0", "(0, 1/3]" or "1".
        start: share of right samples at the start, by samples that did not choose the bin.
        end: share of right samples at the end.
        gain: ``end`` minus ``start`` of each question and seed.
    """

    name: str
    start: float
    end: float
    gain: ClusteredMean


class Gains(Part):
    """Gains of one condition by the difficulty of the questions at the start.

    Attributes:
        split: ``test`` or ``development``.
        samples: samples per question at the start; the fewest of any seed.
        chosen_by: what chose the bins: ``halves`` (one half of the samples at the start, while the other half
            measured, then the other way round), or ``other seeds`` (the start evaluations of the other seeds).
    """

    task: str
    condition: str
    split: str
    samples: int
    chosen_by: Literal["halves", "other seeds"]
    bins: tuple[GainBin, ...]


class GainDifference(Part):
    """Difference of the shares at the end, second minus first of ``pair``, by bins that the first one's start chose.

    The intervals of all bins hold together with 95 % (Bonferroni).
    """

    task: str
    pair: tuple[str, str]
    bins: dict[str, ClusteredMean]


class AllWrong(Part):
    """What became of training questions whose first answers (answers or drafts to the bare question) were all wrong.

    Attributes:
        answers: number of first answers of a visit that are compared: the fewest of any condition of the task.
        visits: questions that were asked, counted each time.
        share: of them, those whose first ``answers`` answers were all wrong.
        own_answers, own_share: likewise, with all first answers of the condition.
        refined: share of right refinements where all of the condition's drafts were wrong; None without refinements
            of such a question.
        started: questions and seeds whose first visit was all wrong.
        again: of them, those that were asked again.
        chance: share of right answers that such questions would have shown at once, if only asked again: of one answer
            of the first visit where all the others were wrong. None if no question was asked again.
        later: share of right first answers at their last visit.
    """

    task: str
    condition: str
    answers: int
    visits: int
    share: float
    own_answers: int
    own_share: float
    refined: ClusteredMean | None
    started: int
    again: int
    chance: ClusteredMean | None
    later: ClusteredMean | None


class Readings(Part):
    """What can be read off, in sentences made from the numbers, by part of the section."""

    entropy: tuple[str, ...] = ()
    reward: tuple[str, ...] = ()
    length: tuple[str, ...] = ()
    difficulty: tuple[str, ...] = ()
    all_wrong: tuple[str, ...] = ()


class Dynamics(Part):
    """All of the part. ``missing``: what could not be measured, in sentences."""

    bands: tuple[Band, ...] = ()
    differences: tuple[CourseDifference, ...] = ()
    gains: tuple[Gains, ...] = ()
    gain_differences: tuple[GainDifference, ...] = ()
    all_wrong: tuple[AllWrong, ...] = ()
    readings: Readings = Readings()
    missing: tuple[str, ...] = ()
