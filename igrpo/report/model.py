"""Data model of a report: every number that the page, the figures and the tables show. Written as report.json.

Accuracies and differences of accuracies are shares in [0, 1]; entropies are in nats per token; seconds are wall time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar, get_args

from igrpo.report.across_model import Across
from igrpo.report.dynamics_model import Dynamics
from igrpo.report.part import Part

#: Version of report.json that this code writes.
SCHEMA_VERSION = 4

Metric = Literal["single_shot", "greedy", "draft_conditioned"]

#: Compared metrics; the first is the headline.
METRICS: tuple[Metric, ...] = get_args(Metric)

#: Difference for which a report says how many seeds would show it, unless another one is asked for.
EFFECT = 0.05


def metric_name(metric: Metric) -> str:
    """Return the name under which a report has a metric: that of its value on the test split."""
    return f"test/{metric}/accuracy"


class RunEntry(Part):
    """Run that was found. ``excluded`` is the reason why it is not used in the numbers; None if it is used.

    If the settings of the run cannot be read, ``seed`` is None and ``condition`` is "unknown". ``folder`` is the run's
    directory; in the files of a report it is relative to them. None for a run that is known from MLflow alone.
    """

    name: str
    condition: str
    seed: int | None
    status: str
    steps: int
    excluded: str | None = None
    folder: str | None = None


class SetupRow(Part):
    """Row of the set-up in words. ``differs``: conditions differ in it, and ``value`` names them."""

    name: str
    value: str
    differs: bool


class Link(Part):
    """Link to a page, or (an address without a scheme) a command or a file."""

    name: str
    address: str


Outcome = Literal["right", "wrong", "unknown"]


class Example(Part):
    """Draft and a refinement of it, sampled in training after ``step`` - 1 updates. Long texts are shortened."""

    condition: str
    seed: int
    step: int
    question_id: str
    question: str
    gold: str
    draft: str
    draft_outcome: Outcome
    refinement: str
    refinement_outcome: Outcome


class QuestionChange(Part):
    """Share of right answers to a test question in each of two conditions, mean over seeds and samples."""

    id: str
    first: float
    second: float


class Changes(Part):
    """Changes of the test questions from the first condition of ``pair`` to the second.

    A question counts as right if more than half of its answers are. ``gains`` and ``losses`` are the questions with the
    largest changes of their share, largest first.
    """

    pair: tuple[str, str]
    metric: str
    seeds: int
    questions: int
    right_in_both: int
    became_right: int
    became_wrong: int
    wrong_in_both: int
    gains: tuple[QuestionChange, ...]
    losses: tuple[QuestionChange, ...]


class Spent(Part):
    """Budgets spent by the runs of a condition, as means over seeds. ``flops`` is None if a run did not count them."""

    steps: float
    samples: float
    generated_tokens: float
    prefilled_tokens: float
    trained_tokens: float
    flops: float | None
    seconds: float
    seconds_by_phase: dict[str, float]


class Condition(Part):
    """Runs that differ only in their seed. ``settings`` are the settings that differ between conditions."""

    name: str
    settings: dict[str, str]
    seeds: tuple[int, ...]
    spent: Spent


class Final(Part):
    """Metric of one condition on the test split after training (``before``: before training).

    ``interval``: 95 % interval over seeds and problems as crossed random effects, clipped to [0, 1]; with one seed it
    is over problems only.
    """

    condition: str
    metric: str
    mean: float
    interval: tuple[float, float]
    per_seed: dict[int, float]
    before: float | None
    problems: int
    samples_per_problem: int


class SeedCurve(Part):
    """Curve of the run of one seed."""

    seed: int
    x: tuple[float, ...]
    y: tuple[float, ...]


class Curve(Part):
    """Metric of one condition against an axis: the line of each seed, their mean, and the lowest and highest seed.

    ``x`` is the mean over seeds of x at the same step. ``axis`` is a key of ``BUDGET_AXES``, or the name of a metric
    (to plot entropy against accuracy, for example).
    """

    condition: str
    metric: str
    axis: str
    lines: tuple[SeedCurve, ...]
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class SeedsNeeded(Part):
    """Number of seeds that show a true difference of ``effect`` with 80 % power, at the spread measured so far.

    ``seeds`` is None if no number of seeds is enough: then it takes more test questions or samples.
    """

    effect: float
    seeds: int | None


class Comparison(Part):
    """Comparison of two conditions. ``difference`` is second minus first of ``pair``, paired by seed and problem.

    With only one seed in common the difference cannot be told from chance. ``interval``, ``bootstrap_interval``,
    ``degrees_of_freedom``, ``p_value``, ``p_better``, ``p_adjusted``, ``effect_size`` and ``minimum_detectable_effect``
    are then None (null in report.json).

    Attributes:
        matched_by: the first budget of ``BUDGET_AXES``, except steps, that both spent equally (within 2 %); "nothing"
            if there is none.
        budget_ratios: ratio second / first for every budget that both counted.
        interval: 95 % interval from two-way random effects (seeds and problems crossed), see intervals.half_width.
        degrees_of_freedom: degrees of freedom of its variance, weighted by the parts of seeds and problems; near
            seeds - 1 if seeds dominate.
        bootstrap_interval: 95 % percentile interval from resampled seeds and problems, for reference; too narrow if few
            seeds cause most of the variance.
        p_value: two-sided p-value of no difference; below 0.05 exactly if the interval excludes 0.
        p_adjusted: ``p_value`` after Holm's correction over the ``family`` comparisons of the metric that have a
            p-value.
        p_better: probability that the true difference is above 0 (flat prior): 1 - p_value / 2 or p_value / 2.
        effect_size: difference divided by the standard deviation of the seeds' differences; also None if these agree.
        minimum_detectable_effect: smallest true difference that this design detects with 80 % power at 5 % over the
            whole family (each comparison gets its Bonferroni share).
        seeds_needed: for a true difference of ``Report.effect``; None with one seed.
        seed_differences: difference by seed.
        identical_by_construction: the reason why the two can differ only by chance; None if they can differ.
        verdict: the result in plain words.
    """

    pair: tuple[str, str]
    metric: str
    matched_by: str
    budget_ratios: dict[str, float]
    difference: float
    interval: tuple[float, float] | None = None
    bootstrap_interval: tuple[float, float] | None = None
    degrees_of_freedom: float | None = None
    p_value: float | None = None
    p_better: float | None = None
    p_adjusted: float | None = None
    family: int
    effect_size: float | None = None
    seeds: int
    problems: int
    minimum_detectable_effect: float | None = None
    seeds_needed: SeedsNeeded | None = None
    seed_differences: dict[int, float]
    identical_by_construction: str | None
    verdict: str


_Measured = TypeVar("_Measured", Final, Comparison, Changes)


def by_metric(parts: Iterable[_Measured]) -> dict[str, list[_Measured]]:
    """Return the parts of each metric, in order."""
    found: dict[str, list[_Measured]] = {}
    for part in parts:
        found.setdefault(part.metric, []).append(part)
    return found


class Report(Part):
    """Complete report. ``notes`` are warnings in words (too few seeds, unfinished runs, unmatched budgets).

    ``effect`` is the difference for which ``Comparison.seeds_needed`` is computed. ``across`` is None unless
    methods were measured on two tasks or more.
    """

    schema_version: int = SCHEMA_VERSION
    title: str
    created: str
    igrpo_version: str
    sources: tuple[str, ...]
    runs: tuple[RunEntry, ...]
    conditions: tuple[Condition, ...]
    baseline: str
    finals: tuple[Final, ...]
    comparisons: tuple[Comparison, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]
    effect: float = EFFECT
    setup: tuple[SetupRow, ...] = ()
    links: tuple[Link, ...] = ()
    examples: tuple[Example, ...] = ()
    changes: tuple[Changes, ...] = ()
    dynamics: Dynamics = Dynamics()
    across: Across | None = None
