"""Headline of a report: its main comparisons and their wording."""

from __future__ import annotations

from igrpo.report.labels import bracket, quantity
from igrpo.report.model import Comparison, Report


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
