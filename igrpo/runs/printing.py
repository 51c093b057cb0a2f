"""Console output of a run: the settings as a tree, the values derived from them, and the result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from igrpo.config import RunConfig, config_values
from igrpo.config.facts import resolved_facts
from igrpo.evaluation.draft_worth import Gain
from igrpo.runs.console import get_console
from igrpo.runs.sweep_directory import CellRecord, CellState

_LONGEST_VALUE = 88


def print_settings(config: RunConfig, run_dir: Path | None = None, *, verbose: bool = False) -> None:
    """Print what the settings of a run resolve to, and its directory.

    Args:
        config: settings of the run.
        run_dir: directory of the run (None: it has none yet).
        verbose: also print the settings themselves, and all that they resolve to.
    """
    if verbose:
        print_tree(config)
    facts = resolved_facts(config, details=verbose)
    if run_dir is not None:
        shown = run_dir.relative_to(Path.cwd()) if run_dir.is_relative_to(Path.cwd()) else run_dir
        facts.append(("run directory", f"{shown} (its config.yaml has every setting)"))
    print_facts(facts)


def print_tree(config: RunConfig, console: Console | None = None) -> None:
    """Print the resolved configuration, one branch per section. Long texts are cut; config.yaml has them in full."""
    tree = Tree(Text("settings", style="bold"), guide_style="dim")
    _add_branches(tree, config_values(config))
    _console(console).print(tree)


def print_facts(facts: Sequence[tuple[str, str]], console: Console | None = None) -> None:
    """Print the rows of `igrpo.config.facts.resolved_facts` in two columns, with the notes at the end."""
    table, out = columns_table(), _console(console)
    notes = [text for name, text in facts if name == "note"]
    for name, text in facts:
        if name != "note":
            table.add_row(name, Text(text))
    for note in notes:
        table.add_row("note", Text(note, style="yellow"))
    out.print(Text("what the settings resolve to", style="bold"))
    out.print(table)


def print_summary(
    summary: Mapping[str, Any],
    run_dir: Path,
    ui_command: str | None,
    run_link: str | None,
    console: Console | None = None,
) -> None:
    """Print the final tables from the content of summary.json. Values that were not measured are shown as '-'.

    ``ui_command`` starts the MLflow UI, and ``run_link`` is the run's page in it (None: MLflow is not used).
    """
    out = _console(console)
    head = [f"{key} {summary[key]}" for key in ("algorithm", "objective", "seed", "steps") if _has(summary, key)]
    head += [f"stopped by {summary['stopped_by']}"] if _has(summary, "stopped_by") else []
    out.print(Text(" · ".join(head) or "result", style="bold"))
    out.print(_accuracy_table(summary))
    out.print(Text("cost", style="bold"))
    out.print(_cost_table(summary))
    out.print(Text.assemble(("Run directory:  ", "cyan"), str(run_dir)), soft_wrap=True)
    if ui_command is not None:
        out.print(Text.assemble(("MLflow UI:      ", "cyan"), ui_command), soft_wrap=True)
    if run_link is not None:
        out.print(Text.assemble(("Run in MLflow:  ", "cyan"), run_link), soft_wrap=True)


def print_sweep(cells: Sequence[tuple[CellRecord, CellState]], directory: Path, console: Console | None = None) -> int:
    """Print a table with one row per run of a sweep, in the order of ``cells``.

    Runs that did not finish are also listed with their error and the path of their log. Returns their number.
    """
    table = headed_table()
    table.add_column("run", style="cyan", no_wrap=True)
    for name in ("before", "after", "refined", "samples", "trained"):
        table.add_column(name, justify="right")
    failed: list[str] = []
    for cell, state in cells:
        summary = state.summary
        if state.status != "FINISHED":
            what = "has not begun" if state.status == "WAITING" else state.status.lower()
            reason = f": {state.error}" if state.error else ""
            failed.append(f"run {cell.number} ({cell.name}) {what}{reason}; its log: {directory / cell.folder}/log.txt")
        single, drafted = summary.get("single_shot") or {}, summary.get("draft_conditioned") or {}
        table.add_row(
            f"{cell.number}: {cell.name}",
            _share(single.get("before"), None),
            _share(single.get("after"), None),
            _share(drafted.get("after"), None),
            _number(summary.get("samples"), ","),
            _number((summary.get("tokens") or {}).get("trained"), ","),
        )
    out = _console(console)
    out.print(Text("the sweep", style="bold"))
    out.print(table)
    out.print(Text("single-shot before and after, draft-conditioned after; tokens trained", style="dim italic"))
    for text in failed:
        out.print(Text(text, style="red"), soft_wrap=True)
    return len(failed)


def _accuracy_table(summary: Mapping[str, Any]) -> Table:
    table = headed_table()
    for name in ("test accuracy", "before", "after", "change"):
        table.add_column(name, style="cyan" if name.startswith("test") else None, no_wrap=name.startswith("test"))
    single = summary.get("single_shot") or {}
    of_k = f"mean of {single['samples_per_question']}" if _has(single, "samples_per_question") else "sampled"
    table.add_row(f"single-shot, {of_k}", *_accuracies(single))
    greedy = {"before": single.get("greedy_before"), "after": single.get("greedy_after")}
    if any(value is not None for value in greedy.values()):
        table.add_row("single-shot, greedy", *_accuracies(greedy))
    table.add_row("draft-conditioned", *_accuracies(summary.get("draft_conditioned") or {}))
    for name, *cells in _worth_rows(summary.get("draft_worth") or {}):
        table.add_row(f"  {name}", *cells)
    entropy = summary.get("entropy") or {}
    table.add_section()
    table.add_row(Text("entropy, nats per token", style="bold"), "first step", "last step", "")
    for role, values in entropy.items():
        first, last = values.get("first"), values.get("last")
        change = "-" if first is None or last is None else f"{last - first:+.3f}"
        table.add_row(f"  {role}s", _number(first, ".3f"), _number(last, ".3f"), change)
    if _has(single, "questions"):
        table.caption = f"{single['questions']:,} questions; intervals of 95 %"
    return table


def _accuracies(values: Mapping[str, Any]) -> tuple[str, str, str]:
    before, after = values.get("before"), values.get("after")
    change = "-" if before is None or after is None else f"{100 * (after - before):+.1f} points"
    return (
        _share(before, values.get("interval_before")),
        _share(after, values.get("interval_after", values.get("interval"))),
        change,
    )


def _worth_rows(worth: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield rows for the accuracy given a right and a wrong draft, and for its gain over answers without a draft."""
    for draft in ("right", "wrong"):
        ends = ((end, (worth.get(end) or {}).get(f"given_{draft}") or {}) for end in ("before", "after"))
        given = {end: values for end, values in ends if _has(values, "right")}
        gains = {end: Gain(**values["gain"]) for end, values in given.items() if _has(values, "gain")}
        if given:
            yield (f"given a {draft} draft", *_accuracies({end: values["right"] for end, values in given.items()}))
        if gains:
            change = _accuracies({end: gain.value for end, gain in gains.items()})[-1]
            before, after = (str(gains.get(end, "-")).replace(" points", "") for end in ("before", "after"))
            yield f"a {draft} draft adds", before, after, change


def _cost_table(summary: Mapping[str, Any]) -> Table:
    table = columns_table()
    table.columns[1].justify = "right"
    table.add_column(justify="right", style="dim")
    table.add_row("samples", _number(summary.get("samples"), ","))
    for kind, count in (summary.get("tokens") or {}).items():
        table.add_row(f"tokens {kind}", _number(count, ","))
    table.add_row("FLOPs", _number(summary.get("flops"), ".3e"))
    judge = summary.get("judge") or {}
    for name in ("input_tokens", "output_tokens"):
        if judge.get(name):
            table.add_row(f"judge's {name.replace('_', ' ')}", _number(judge[name], ","))
    if judge.get("cost"):
        table.add_row("judge's cost", _number(judge["cost"], ",.4g"))
    seconds = {phase: value for phase, value in (summary.get("seconds") or {}).items() if value is not None}
    total = sum(seconds.values())
    for phase, value in seconds.items():
        table.add_row(f"seconds {phase}", f"{value:,.1f}", f"{value / total:.0%}" if total else "")
    return table


def _share(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    text = f"{100 * value:.1f} %"
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _has(values: Mapping[str, Any], key: str) -> bool:
    return values.get(key) is not None


def columns_table() -> Table:
    """Return an empty table of two columns without lines: a name, and a text that is wrapped beside it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def headed_table() -> Table:
    """Return an empty table with a header, and as few lines as possible."""
    padding = (0, 1, 0, 0)
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding, caption_justify="left")


def _add_branches(tree: Tree, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _add_branches(tree.add(Text(name, style="cyan")), value)
        else:
            text = json.dumps(value, ensure_ascii=False)
            cut = text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 4]} ..."
            tree.add(Text.assemble((f"{name}: ", "dim"), cut, overflow="ellipsis", no_wrap=True))


def _console(console: Console | None) -> Console:
    return console if console is not None else get_console()
