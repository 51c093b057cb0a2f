"""What `igrpo eval` prints: the model before, a table of the results after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from igrpo.evaluation.samples import SINGLE_SHOT
from igrpo.files import shown_path
from igrpo.runs.evaluation_directory import BenchmarkResult, EvaluationRecord, EvaluationResults
from igrpo.runs.printing import columns_table, headed_table
from igrpo.runs.test_time_table import print_test_time
from igrpo.tools.evaluating.request import Request

_Columns = Mapping[str, Callable[[BenchmarkResult], str | None]]

#: Tables by their columns: the header, and the cell of a benchmark. A column or a table without any cell is left out.
_TABLES: tuple[_Columns, ...] = (
    {
        "questions\nx k": lambda result: f"{result.questions:,} x {result.samples}",
        "mean@k": lambda result: _estimate(result.metrics, "single_shot"),
        "trun-\ncated": lambda result: _percent(result.metrics, "single_shot/truncated_share"),
        "mean\ntokens": lambda result: _number(result.metrics, "single_shot/length_mean"),
    },
    {
        "pass@k": lambda result: _at_k(result, "pass"),
        "maj@k": lambda result: _at_k(result, "majority"),
        "worst@k": lambda result: _at_k(result, "worst"),
    },
    {
        "greedy": lambda result: _estimate(result.metrics, "greedy"),
        "draft-conditioned": lambda result: _estimate(result.metrics, "draft_conditioned"),
        "oracle draft": lambda result: _estimate(result.metrics, "draft_conditioned_oracle"),
    },
)


def print_request(request: Request, directory: Path, console: Console) -> None:
    """Print what is evaluated, and where the results will be."""
    table = columns_table()
    of = "" if request.checkpoint is None else f" (checkpoint {request.checkpoint})"
    path = request.path if request.source == "hub" else shown_path(Path(request.path))
    config = request.config
    names = "test split" if request.measured == "test" else ", ".join(config.evaluation.benchmarks)
    table.add_row("model", f"{path}{of}")
    table.add_row(
        "evaluated on", names if request.limit is None else f"{names}; at most {request.limit} questions of each"
    )
    if request.replaced:
        table.add_row("unlike the run", f"{', '.join(request.replaced)}; to keep one, add evaluation.SETTING=VALUE")
    table.add_row("prompt, reward", f"{config.prompt.name}, {config.reward.name}")
    table.add_row("engine, seed", f"{config.rollout.name}, {config.seed}")
    table.add_row("directory", shown_path(directory))
    console.print(table)


def print_results(record: EvaluationRecord, results: EvaluationResults, directory: Path, console: Console) -> None:
    """Print the table of results, remarks on what they do not cover, and where they are."""
    for table in results_tables(results):
        console.print(table)
    console.print(f"shares in %; intervals of 95 % over questions; protocol {results.protocol}", style="dim")
    for name, found in results.benchmarks.items():
        if found.test_time is not None:
            print_test_time(name, found.test_time, console)
    for name, of in record.benchmarks.items():
        if of.too_long:
            console.print(
                f"{name}: {of.too_long} of {of.rows} questions are longer than prompt.max_question_tokens and are left "
                "out",
                soft_wrap=True,
            )
        cut = of.rows - of.too_long - of.questions
        if cut:
            console.print(f"{name}: {of.questions} of {of.rows} questions were evaluated", soft_wrap=True)
    for remark in results.remarks:
        console.print(remark, soft_wrap=True, markup=False)
    rows = [("results", directory / "result.json"), ("samples", directory / "samples")]
    rows += [("what could be wrong", directory / "validity.md")] if results.remarks else []
    for label, path in rows:
        console.print(Text.assemble((f"{label}:  ", "cyan"), shown_path(path)), soft_wrap=True)


def results_tables(results: EvaluationResults) -> list[Table]:
    """Return the tables of results, with one row per benchmark."""
    return [table for columns in _TABLES if (table := _table(columns, results.benchmarks)) is not None]


def _table(columns: _Columns, benchmarks: Mapping[str, BenchmarkResult]) -> Table | None:
    cells = {header: [cell(result) for result in benchmarks.values()] for header, cell in columns.items()}
    shown = {header: column for header, column in cells.items() if any(cell is not None for cell in column)}
    if not shown:
        return None
    table = headed_table()
    table.add_column("benchmark", style="cyan")
    for header in shown:
        table.add_column(header, justify="right", no_wrap=True)
    for i, name in enumerate(benchmarks):
        table.add_row(Text(name), *(column[i] or "-" for column in shown.values()))
    return table


def _estimate(metrics: Mapping[str, float], kind: str) -> str | None:
    value, low, high = (metrics.get(f"{kind}/{name}") for name in ("accuracy", "low", "high"))
    if value is None or low is None or high is None:
        return None
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _at_k(result: BenchmarkResult, name: str) -> str | None:
    """Return an estimate from all k single-shot samples, with its interval; there is none of a single sample."""
    found = result.estimates.get(SINGLE_SHOT, {}).get(f"{name}_at_{result.samples}")
    if found is None or found.low is None or found.high is None:
        return None
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _percent(metrics: Mapping[str, float], name: str) -> str | None:
    return f"{100 * metrics[name]:.1f}" if name in metrics else None


def _number(metrics: Mapping[str, float], name: str) -> str | None:
    return f"{metrics[name]:,.0f}" if name in metrics else None
