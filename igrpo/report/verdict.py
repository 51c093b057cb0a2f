"""Verdicts of comparisons in words, and the comparisons that a report shows first."""

from __future__ import annotations

from collections.abc import Mapping

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.labels import bracket, count, listed, points, quantity
from igrpo.report.model import Comparison, Report

#: A difference counts as shown if its p-value after Holm's correction is below this.
SIGNIFICANCE = 0.05

#: With fewer seeds, the estimate of the variance between seeds is unreliable.
FEW_SEEDS = 3

#: Text for a comparison with one seed, instead of an interval and p-values.
ONE_SEED = (
    "another seed may give another result; one seed has no interval and no p-value, several have (seed=0,1,2,3,4)"
)


def verdict(c: Comparison) -> str:
    """Return the verdict of a comparison in words; the field ``verdict`` of the argument is ignored."""
    text = _finding(c)
    if c.identical_by_construction is not None:
        text = f"the two can differ only by chance ({c.identical_by_construction}): {text}"
    if c.matched_by == "nothing":
        text = f"budgets not matched ({spent_words(c.pair[1], c.pair[0], c.budget_ratios)}): {text}"
    return text


def _finding(c: Comparison) -> str:
    first, second = c.pair
    size = f"{count(c.seeds, 'seed')}, {c.problems} problems"
    if c.interval is None or c.p_value is None or c.p_adjusted is None or c.minimum_detectable_effect is None:
        return (
            f"{second} differs from {first} by {points(c.difference)} points ({size}), which shows nothing: {ONE_SEED}"
        )
    numbers = f"95 % interval {points(c.interval[0])} to {points(c.interval[1])}; {size}"
    few = f"; {c.seeds} seeds are too few to estimate the variance between seeds" if c.seeds < FEW_SEEDS else ""
    if c.p_adjusted < SIGNIFICANCE:
        where = "above" if c.difference > 0 else "below"
        return f"{second} is {abs(100 * c.difference):.1f} points {where} {first} ({numbers}){few}"
    shown = f"no difference shown between {second} and {first} ({points(c.difference)} points, {numbers})"
    if c.p_value < SIGNIFICANCE:
        return f"{shown}: significant alone, but not after correcting for {c.family} comparisons{few}"
    if c.minimum_detectable_effect >= 1:
        return f"{shown}; this design could not have found a difference of any size{few}"
    found = f"{100 * c.minimum_detectable_effect:.1f} points with 80 % power"
    return f"{shown}; this design would have found {found}{few}"


def spent_words(second: str, first: str, ratios: Mapping[str, float]) -> str:
    """Describe how much of each budget the second condition spent relative to the first."""
    parts = [
        f"{ratios[name]:.2f} times the {axis.words}"
        for name, axis in BUDGET_AXES.items()
        if name in ratios and name != "steps"
    ]
    return f"{second} spent {listed(parts)} of {first}"


def headline(report: Report) -> list[Comparison]:
    """Return the comparisons of single-shot accuracy, the deployed setting; else of the first metric; [] if none."""
    metrics = list(dict.fromkeys(c.metric for c in report.comparisons))
    deployed = [metric for metric in metrics if metric.endswith("single_shot/accuracy")]
    return [c for c in report.comparisons if c.metric in (deployed or metrics)[:1]]


def sentence(verdict: str) -> str:
    """Add a full stop if missing. The first letter keeps its case, since it may belong to a condition's name."""
    return verdict if verdict.endswith(".") else f"{verdict}."


def difference_words(comparison: Comparison) -> str:
    """Format a difference with its unit and interval; with a single seed there is no interval."""
    what = quantity(comparison.metric)
    words = f"{what.change(comparison.difference)} {what.change_unit}".rstrip()
    if comparison.interval is None:
        return f"{words} (one seed: no interval)"
    return f"{words} {bracket(*map(what.change, comparison.interval))}"
