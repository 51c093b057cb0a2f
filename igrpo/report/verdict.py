"""Verdicts of comparisons in words, and the comparisons that a report shows first."""

from __future__ import annotations

from collections.abc import Mapping

from igrpo.messages import count
from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.labels import bracket, capital, listed, points, probability, quantity
from igrpo.report.model import METRICS, Comparison, Report, metric_name
from igrpo.report.table import NONE

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
    words = quantity(c.metric).words
    size = f"{count(c.seeds, 'seed')}, {c.problems:,} problems"
    if c.interval is None or c.p_value is None or c.p_adjusted is None or c.minimum_detectable_effect is None:
        return (
            f"{second} differs from {first} by {points(c.difference)} points on {words} ({size}), which shows nothing: "
            f"{ONE_SEED}"
        )
    numbers = f"95 % interval {points(c.interval[0])} to {points(c.interval[1])}, {_p_words(c)}; {size}"
    few = f"; {c.seeds} seeds are too few to estimate the variance between seeds" if c.seeds < FEW_SEEDS else ""
    if c.p_adjusted < SIGNIFICANCE:
        where = "above" if c.difference > 0 else "below"
        return f"{second} is {abs(100 * c.difference):.1f} points {where} {first} on {words} ({numbers}){few}"
    shown = f"no difference shown between {second} and {first} on {words} ({points(c.difference)} points, {numbers})"
    if c.p_value < SIGNIFICANCE:
        shown += ": significant alone, but not after correcting for the others"
    elif c.minimum_detectable_effect >= 1:
        shown += "; this design could not have found a difference of any size"
    else:
        shown += f"; this design would have found {100 * c.minimum_detectable_effect:.1f} points with 80 % power"
    return shown + needed_words(c) + few


def _p_words(c: Comparison) -> str:
    over = f" after Holm over {c.family} comparisons" if c.family > 1 else ""
    return NONE if c.p_adjusted is None else f"p {probability(c.p_adjusted)}{over}"


def needed_words(c: Comparison) -> str:
    """Say what it would take to show the difference that was asked for; empty if the design is large enough."""
    if c.seeds_needed is None or c.minimum_detectable_effect is None:
        return ""
    effect, seeds = c.seeds_needed.effect, c.seeds_needed.seeds
    if c.minimum_detectable_effect <= effect:
        return ""
    if seeds is None:
        return f"; no number of seeds would show {100 * effect:.1f} points: it takes more test questions"
    return f"; to show {100 * effect:.1f} points takes about {seeds:,} seeds, if their spread is as measured"


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


def others(report: Report, pair: tuple[str, str]) -> list[Comparison]:
    """Return the comparisons of a pair on the other accuracies than that of ``headline``."""
    first = {c.metric for c in headline(report)}
    return [c for c in report.comparisons if c.pair == pair and c.metric not in first]


def sentences(report: Report) -> list[str]:
    """Return the result in words: per pair one sentence for each accuracy, then the accuracies that nobody measured.

    Pairs are in the order of the report. Within a pair, single-shot accuracy comes first. Names of conditions are not
    escaped.
    """
    pairs = dict.fromkeys(c.pair for c in report.comparisons)
    found = [sentence(c.verdict) for pair in pairs for c in report.comparisons if c.pair == pair]
    return [*found, *not_measured(report)]


def not_measured(report: Report) -> list[str]:
    """Return one sentence for each accuracy that is not compared, with the setting that measures it."""
    found = []
    for metric in METRICS[1:] if report.comparisons else ():  # the first is always measured
        name = metric_name(metric)
        words = quantity(name).words
        if any(c.metric == name for c in report.comparisons):
            continue
        having = [final.condition for final in report.finals if final.metric == name]
        how = f"was measured for {listed(having)} only" if having else "was not measured"
        found.append(f"{capital(words)} {how} (evaluation.{metric}=true measures it), so that it is not compared.")
    return found


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
