"""Console output of a report: the verdict in words and as tables, then results and notes. Fits 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from igrpo.report.budget_axes import budget_words
from igrpo.report.labels import integer, pair_words, percent, points, probability, quantity
from igrpo.report.model import Comparison, Final, Report, by_metric
from igrpo.report.table import NONE
from igrpo.report.verdict import sentences
from igrpo.runs.console import get_console
from igrpo.runs.printing import headed_table

_LABELS = {"page": "page", "figures": "figures", "markdown": "tables", "latex": "in LaTeX", "numbers": "numbers"}


def print_report(report: Report, paths: Mapping[str, Path], console: Console | None = None) -> None:
    """Print a report; ``paths`` are those that `igrpo.report.write.write_report` returns."""
    out = get_console() if console is None else console
    print_verdict(report, out)
    metrics = list(dict.fromkeys(final.metric for final in report.finals))
    out.print(_finals(report, metrics))
    for text in () if report.across is None else report.across.readings:
        out.print(Text(f"- {text}"), soft_wrap=False)
    for note in report.notes:
        out.print(Text(f"note: {note}", style="yellow"))
    for name, label in _LABELS.items():
        out.print(Text.assemble((f"{label:<9}", "cyan"), str(paths[name])), soft_wrap=True)


def print_verdict(report: Report, console: Console | None = None) -> None:
    """Print the sentences of `igrpo.report.verdict.sentences`, then one table of differences for each accuracy.

    Nothing is printed if there is nothing to compare.
    """
    out = get_console() if console is None else console
    for text in sentences(report):
        out.print(Text(f"- {text}"), soft_wrap=False)
    for metric, comparisons in by_metric(report.comparisons).items():
        out.print(_comparisons(metric, comparisons))


def _finals(report: Report, metrics: list[str]) -> Table:
    """Build a table with one row per condition.

    The first metric is the headline: it is shown with its interval and its value before training.
    """
    by_name = {(final.condition, final.metric): final for final in report.finals}
    table = _table(report.title)
    table.add_column("condition", style="cyan", overflow="fold")
    for name in ("seeds", "before", "after [95 %]"):
        table.add_column(name, justify="right", no_wrap=True)
    for metric in metrics[1:]:
        table.add_column(_word(metric), justify="right")
    for condition in report.conditions:
        head = by_name.get((condition.name, metrics[0]))
        others = [by_name.get((condition.name, metric)) for metric in metrics[1:]]
        table.add_row(
            Text(condition.name),
            str(len(condition.seeds)),
            _percent(None if head is None else head.before),
            NONE if head is None else f"{_percent(head.mean)} {_interval(head)}",
            *(_percent(None if final is None else final.mean) for final in others),
        )
    problems = sorted({final.problems for final in report.finals})
    table.caption = (
        f"{quantity(metrics[0]).words} in %, {' or '.join(map(integer, problems))} problems of the test split"
    )
    return table


def _comparisons(metric: str, comparisons: list[Comparison]) -> Table:
    table = _table(f"differences in {quantity(metric).words}, percentage points")
    table.add_column("comparison", style="cyan", overflow="fold")
    for name in ("difference [95 %]", "p (Holm)", "MDE"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("matched by", overflow="fold")
    for c in comparisons:
        interval = "" if c.interval is None else f" [{points(c.interval[0])}, {points(c.interval[1])}]"
        table.add_row(
            Text(pair_words(c.pair)),
            f"{points(c.difference)}{interval}",
            NONE if c.p_adjusted is None else probability(c.p_adjusted),
            _percent(c.minimum_detectable_effect),
            budget_words(c.matched_by),
        )
    table.caption = "MDE: the smallest true difference that is found with 80 % power"
    if any(c.interval is None for c in comparisons):
        table.caption += "; one seed: no interval, no p"
    return table


def _table(title: str) -> Table:
    table = headed_table()
    table.title, table.title_style, table.title_justify = Text(title), "bold", "left"
    return table


def _word(metric: str) -> str:
    return {"greedy accuracy": "greedy", "draft-conditioned accuracy": "refined"}.get(
        quantity(metric).words, quantity(metric).words
    )


def _interval(final: Final) -> str:
    low, high = final.interval
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _percent(share: float | None) -> str:
    return NONE if share is None else percent(share)
