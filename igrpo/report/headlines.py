"""What a report says first."""

from __future__ import annotations

from igrpo.report.labels import bracket, quantity
from igrpo.report.model import Comparison, Report


def headline(report: Report) -> list[Comparison]:
    """The comparisons of what is deployed, single-shot accuracy, or of the first metric there is; [] without any."""
    metrics = list(dict.fromkeys(c.metric for c in report.comparisons))
    deployed = [metric for metric in metrics if metric.endswith("single_shot/accuracy")]
    return [c for c in report.comparisons if c.metric in (deployed or metrics)[:1]]


def sentence(verdict: str) -> str:
    """With its full stop. A verdict may begin with a condition's name, whose letters stay as they are."""
    return verdict if verdict.endswith(".") else f"{verdict}."


def difference_words(comparison: Comparison) -> str:
    """The difference with its unit and interval; a single seed has none."""
    what = quantity(comparison.metric)
    words = f"{what.change(comparison.difference)} {what.change_unit}".rstrip()
    if comparison.interval is None:
        return f"{words} (one seed: no interval)"
    return f"{words} {bracket(*map(what.change, comparison.interval))}"
