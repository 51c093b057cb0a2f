"""Verdict of a sweep on the console: the differences between its conditions, for each accuracy."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from igrpo.report.labels import points, probability, quantity
from igrpo.report.model import Report
from igrpo.report.verdict import headline, not_measured, sentence
from igrpo.runs.console import get_console
from igrpo.runs.printing import headed_table


def print_verdict(report: Report, console: Console | None = None) -> None:
    """Print difference, interval and p-value of each comparison, and the sentences about the headline accuracy.

    Nothing is printed if there is nothing to compare.
    """
    if not report.comparisons:
        return
    out = get_console() if console is None else console
    table = headed_table()
    table.add_column("accuracy", style="cyan", overflow="fold")
    table.add_column("comparison", overflow="fold")
    table.add_column("difference [95 %]", justify="right", no_wrap=True)
    table.add_column("p (Holm)", justify="right", no_wrap=True)
    shown = None
    for c in report.comparisons:
        name = quantity(c.metric).words.replace(" accuracy", "")
        interval = "" if c.interval is None else f" [{points(c.interval[0])}, {points(c.interval[1])}]"
        table.add_row(
            Text("" if name == shown else name),
            Text(f"{c.pair[1]} − {c.pair[0]}"),
            f"{points(c.difference)}{interval}",
            "-" if c.p_adjusted is None else probability(c.p_adjusted),
        )
        shown = name
    out.print(Text("the verdict, in percentage points", style="bold"))
    out.print(table)
    for text in (*(sentence(c.verdict) for c in headline(report)), *not_measured(report)):
        out.print(Text(text), soft_wrap=not out.is_terminal)
