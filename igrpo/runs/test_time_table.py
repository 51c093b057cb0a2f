"""Console output of the test-time curve."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from igrpo.evaluation.test_time.curve import ModesResult
from igrpo.evaluation.test_time.words import COLUMNS, sentences, table_rows
from igrpo.runs.printing import headed_table


def print_test_time(name: str, result: ModesResult, console: Console) -> None:
    """Print the curves of the test-time modes on a benchmark, and how each compares with a majority vote."""
    table = headed_table()
    for header in COLUMNS:
        table.add_column(header, justify="left" if header in {"mode", "step"} else "right", no_wrap=True)
    for row in table_rows(result):
        table.add_row(*row)
    table.caption = (
        "right in %; against a majority vote of as many samples, in points; intervals of 95 % over questions"
    )
    console.print(Text(f"{name}: accuracy against samples per question", style="bold"))
    console.print(table)
    for sentence in sentences(result):
        console.print(Text(sentence), soft_wrap=not console.is_terminal)
