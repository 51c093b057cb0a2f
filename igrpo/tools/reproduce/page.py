"""A table as Markdown and on the console, in the paper's layout, with the printed numbers apart from the measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from rich.console import Console
from rich.table import Table as ConsoleTable
from rich.text import Text

from igrpo.report.table import NONE, Groups, Table
from igrpo.report.tables import markdown_table
from igrpo.runs.printing import headed_table
from igrpo.tools.reproduce.average import Number
from igrpo.tools.reproduce.printed import PrintedRow
from igrpo.tools.reproduce.result import MeasuredRow, TableResult, distinct
from igrpo.tools.reproduce.tables import Kind

#: Mark of a column or a table with numbers of the paper.
_PAPER = "paper"
_NOT_MEASURED = "Printed in the paper, not measured here"
_INCOMPARABLE = "Printed in the paper; not comparable: another model and data"
_SHORT = 8

_FORMS: Mapping[Kind, Callable[[float], str]] = {
    "accuracy": lambda value: f"{100 * value:.1f}",
    "cost": lambda value: f"{value:.3g}",
    "entropy": lambda value: f"{value:.3f}",
}


def markdown(result: TableResult) -> str:
    """Return the table with its budgets, its printed numbers and all remarks as Markdown."""
    head = [f"# {result.title}", f"`{result.command}` with igrpo {result.version}; {_unit(result)}."]
    tables = [_measured(result, beside=result.comparable), _spendings(result)]
    if not result.comparable:
        tables.append(_printed(result))
    return "\n\n".join([*head, *map(markdown_table, tables), *_remarks(result)]) + "\n"


def print_result(result: TableResult, console: Console) -> None:
    """Print the measured numbers, what they cost, and the printed numbers, as one table each."""
    for table in (_measured(result, beside=False), _spendings(result), _printed(result)):
        console.print(Text(table.title, style="bold"))
        console.print(_on_console(table))
        if table.note:
            console.print(Text(table.note, style="dim italic"))
    console.print(Text(f"{_unit(result)}.", style="dim italic"))
    for line in _remarks(result):
        console.print(Text(line, style="dim"))


def _unit(result: TableResult) -> str:
    return f"unit: {result.unit}; means over seeds with intervals of 95 %"


def _remarks(result: TableResult) -> Iterator[str]:
    notes = [*result.notes, *(f"{row.method}: {row.note}" for row in result.rows if row.note)]
    if notes:
        yield "\n".join(f"- {note}" for note in notes)
    if result.missing:
        yield "\n".join(f"- missing: {reason}" for reason in result.missing)
    if result.footnotes:
        yield "\n".join(f"{_PAPER} {number}) {note}" for number, note in enumerate(result.footnotes, 1))


def _measured(result: TableResult, *, beside: bool) -> Table:
    """Return the measured numbers; ``beside``: with columns of the printed ones."""
    form = _FORMS[result.kind]
    printed = {(row.model, row.method): row for row in result.printed}
    papers = [f"{_PAPER}: {name}" for name in result.printed_columns] if beside else []

    def cells(row: MeasuredRow) -> tuple[str, ...]:
        numbers = [_number(row.numbers.get(name), form) for name in result.columns]
        seeds = ", ".join(map(str, row.seeds)) or NONE
        paper = printed.get((row.model, row.method)) if beside else None
        marked = row.method if paper is None else _marked(paper)
        return (marked, *numbers, seeds, *(_printed_cells(result, paper) if beside else []))

    head = ("", *result.columns, "seeds", *papers)
    title = "Measured here" if result.comparable else "Measured here, on a small model and task"
    return Table(result.name, title, head, _by_model(result.rows, cells))


def _spendings(result: TableResult) -> Table:
    def cells(row: MeasuredRow) -> tuple[str, ...]:
        spent = row.spending
        if spent is None:
            return (row.method, NONE, NONE, NONE)
        hashes = ", ".join(found[:_SHORT] for found in spent.config_hashes)
        return (row.method, f"{spent.samples:,.0f}", f"{spent.trained_tokens:,.0f}", hashes)

    head = ("", "samples", "trained tokens", "config hashes")
    title = "The runs, means per seed"
    return Table(f"{result.name}-runs", title, head, _by_model(result.rows, cells), _origin(result))


def _origin(result: TableResult) -> str:
    """Say what the runs were trained on, and by which commits."""
    spent = [row.spending for row in result.rows if row.spending is not None]
    hardware = distinct([name for one in spent for name in one.hardware])
    commits = distinct([_short_commit(commit) for one in spent for commit in one.commits])
    parts = {"hardware": hardware, "commit": commits}
    return "; ".join(f"{name}: {', '.join(values)}" for name, values in parts.items() if values)


def _short_commit(commit: str) -> str:
    return f"{commit[:_SHORT]}{'-dirty' if commit.endswith('-dirty') else ''}"


def _printed(result: TableResult) -> Table:
    def cells(row: PrintedRow) -> tuple[str, ...]:
        return (_marked(row), *_printed_cells(result, row))

    title = _NOT_MEASURED if result.comparable else _INCOMPARABLE
    head = ("", *result.printed_columns)
    return Table(f"{result.name}-printed", title, head, _by_model(result.printed, cells))


def _marked(row: PrintedRow) -> str:
    return f"{row.method} ({_PAPER} {', '.join(map(str, row.marks))})" if row.marks else row.method


def _printed_cells(result: TableResult, row: PrintedRow | None) -> list[str]:
    numbers = {} if row is None else row.numbers
    return [f"{numbers[name]:g}" if name in numbers else NONE for name in result.printed_columns]


def _by_model(rows: tuple[MeasuredRow, ...] | tuple[PrintedRow, ...], cells: Callable[..., tuple[str, ...]]) -> Groups:
    return tuple((model, tuple(map(cells, group))) for model, group in groupby(rows, key=lambda row: row.model))


def _number(number: Number | None, form: Callable[[float], str]) -> str:
    if number is None:
        return NONE
    if number.low is None or number.high is None:
        return form(number.mean)
    return f"{form(number.mean)} [{form(number.low)}, {form(number.high)}]"


def _on_console(table: Table) -> ConsoleTable:
    made = headed_table()
    made.add_column(table.head[0], style="cyan", overflow="fold")
    for i, name in enumerate(table.head[1:], 1):
        has_interval = any("[" in row[i] for row in table.rows)  # which may stand below its number
        made.add_column(name, justify="right", no_wrap=not has_interval)
    for heading, rows in table.groups:
        made.add_row(Text(heading, style="bold"))
        for row in rows:
            made.add_row(*(Text(cell) for cell in row))
    return made
