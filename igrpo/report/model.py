"""The report's data: every number that the page, the figures and the tables show. Written as report.json.

Accuracies and differences of accuracies are shares in [0, 1]; entropies are nats a token; seconds are wall time.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

#: The version of report.json that this code writes.
SCHEMA_VERSION = 2

#: What a run has spent; each can be the x axis of a curve and what two conditions are matched by.
Axis = Literal["steps", "samples", "generated_tokens", "trained_tokens", "flops", "seconds"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RunEntry(_Part):
    """One run that was found. ``excluded`` says why it takes no part in the numbers; None: it does.

    ``seed`` is None, ``condition`` "unknown", where the run's settings cannot be read.
    """

    name: str
    condition: str
    seed: int | None
    status: str
    steps: int
    excluded: str | None = None


class Spent(_Part):
    """What a condition's runs have spent, mean over its seeds. ``flops`` is None where a run did not count them."""

    steps: float
    samples: float
    generated_tokens: float
    prefilled_tokens: float
    trained_tokens: float
    flops: float | None
    seconds: float
    seconds_by_phase: dict[str, float]


class Condition(_Part):
    """What is compared: runs that differ by their seed alone. ``settings`` are those that differ between conditions."""

    name: str
    settings: dict[str, str]
    seeds: tuple[int, ...]
    spent: Spent


class Final(_Part):
    """A metric of one condition on the test split after training (``before``: before it).

    ``interval``: 95 %, over seeds and problems as crossed random effects, cut to [0, 1]; with one seed over problems
    alone.
    """

    condition: str
    metric: str
    mean: float
    interval: tuple[float, float]
    per_seed: dict[int, float]
    before: float | None
    problems: int
    samples_per_problem: int


class Line(_Part):
    """One run's course."""

    seed: int
    x: tuple[float, ...]
    y: tuple[float, ...]


class Curve(_Part):
    """A metric of one condition along an axis: each seed's line, their mean, and the lowest and highest seed.

    ``x`` is the mean of the seeds' x at the same point of their courses. ``axis`` may also be the name of a metric
    (entropy against accuracy).
    """

    condition: str
    metric: str
    axis: str
    lines: tuple[Line, ...]
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Comparison(_Part):
    """``difference`` = second minus first condition of ``pair``, paired by seed and by problem.

    With one seed in common nothing tells the difference from chance: ``interval``, ``bootstrap_interval``,
    ``degrees_of_freedom``, ``p_value``, ``p_better``, ``p_adjusted``, ``effect_size`` and ``minimum_detectable_effect``
    are None then (null in report.json).

    Attributes:
        matched_by: the budget that both spent equally (within 2 %), the first of samples, generated_tokens,
            trained_tokens, flops, seconds for which this holds; "nothing" where none does.
        budget_ratios: second over first, for every axis that both counted.
        interval: 95 %, two-way random effects (seeds and problems crossed), see intervals.half_width.
        degrees_of_freedom: of its variance, weighted by the parts of seeds and problems; near seeds - 1 where the seeds
            decide.
        bootstrap_interval: 95 %, percentile, resampling seeds and problems; too narrow where few seeds differ
            most, shown beside.
        p_value: two-sided, of no difference; below 0.05 exactly where the interval excludes 0. p_adjusted: the same
            after Holm's correction over ``family`` comparisons: those of the metric that have a p-value.
        p_better: probability that the true difference is above 0 (flat prior), 1 - p_value / 2 or p_value / 2.
        effect_size: difference over the standard deviation of the seeds' differences; None where those agree, too.
        minimum_detectable_effect: the smallest true difference that this design finds with 80 % power at 5 % over the
            whole family (Bonferroni's share of it for each comparison).
        seed_differences: by seed.
        identical_by_construction: why the two cannot differ but by chance; None where they can.
        verdict: the reading in plain words.
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
    seed_differences: dict[int, float]
    identical_by_construction: str | None
    verdict: str


class Report(_Part):
    """Everything. ``notes`` are warnings in words (too few seeds, unfinished runs, unmatched budgets)."""

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
