"""`igrpo eval DIR --against DIR`: two evaluations on the same questions."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from igrpo.config import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from igrpo.tools.evaluating.against import BenchmarkComparison, Comparison
    from igrpo.tools.evaluating.comparable import Part

_PROG = "igrpo eval"
_FORM = "igrpo eval EVAL_DIR --against EVAL_DIR"
#: Options of an evaluation that have no meaning here.
_NOT_WITH = ("checkpoint", "questions", "out")

#: Flipped questions that are shown in each direction, and characters of each text.
_SHOWN, _SHOWN_CHARS = 2, 300


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments, not evaluations, or not comparable.
    """
    if asked.against is None:
        raise ConfigError(["--allow-different is for --against EVAL_DIR"], _PROG)
    others = [*asked.settings[1:], *(f"--{name}" for name in _NOT_WITH if getattr(asked, name) is not None)]
    if not asked.settings or others:
        unused = f"; not {' '.join(others)}" if others else ""
        raise ConfigError([f"--against: give two evaluations, as in {_FORM}{unused}"], _PROG)
    return compare(Path(asked.settings[0]), asked.against, asked.allow_different)


def compare(first: Path, second: Path, allowed: Collection[Part] = ()) -> int:
    """Compare two evaluations, write the comparison next to the first one, show it, and return the exit code.

    Raises:
        ConfigError: not evaluations, or not comparable.
    """
    from igrpo.disk import DiskFullError, disk_errors
    from igrpo.tools.evaluating.against import compare_evaluations, write_comparison

    try:
        comparison = compare_evaluations(first, second, allowed)
        with disk_errors(comparison.first):
            paths = write_comparison(comparison)
    except (ValueError, DiskFullError) as error:
        raise ConfigError([str(error)], _PROG) from error
    except PermissionError as error:
        raise ConfigError([f"the comparison cannot be written into {first}: {error.strerror}"], _PROG) from error
    _show(comparison, paths)
    return 0


def _show(comparison: Comparison, paths: tuple[Path, Path]) -> None:
    from rich.text import Text

    from igrpo.files import shown_path
    from igrpo.runs.console import get_console
    from igrpo.runs.printing import headed_table
    from igrpo.tools.evaluating.against_page import CAPTION, HEAD, cells

    console = get_console()
    for name, model in zip(("first", "second"), comparison.models, strict=True):
        console.print(Text.assemble((f"{name:8}", "cyan"), model), soft_wrap=True)
    table = headed_table()
    for name in HEAD:
        table.add_column(name, justify="left" if name == HEAD[0] else "right", no_wrap=name != HEAD[0])
    for one in comparison.benchmarks:
        table.add_row(*cells(one))
    console.print(table)
    console.print(CAPTION, style="dim")
    for note in comparison.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    for one in comparison.benchmarks:
        _show_flips(one, console)
    for path in paths:
        console.print(Text.assemble(("written to  ", "cyan"), shown_path(path)), soft_wrap=True)


def _show_flips(one: BenchmarkComparison, console: Console) -> None:
    from rich.text import Text

    from igrpo.cli.terminal import printable
    from igrpo.evaluation.validity.shown import tail
    from igrpo.tools.evaluating.against_page import answer

    for title, found in (("gained", one.gained), ("lost", one.lost)):
        for flip in found[:_SHOWN]:
            question = one.questions[flip.question]
            shares = f"{100 * flip.first_right:.0f} % right, second {100 * flip.second_right:.0f} %"
            console.print(Text(f"{one.name}, {title}: {printable(flip.question)} ({shares})", "bold"), soft_wrap=True)
            lines = {
                "problem": tail(question.problem, _SHOWN_CHARS),
                "first": f"{answer(flip.first)}: {tail(flip.first.text, _SHOWN_CHARS)}",
                "second": f"{answer(flip.second)}: {tail(flip.second.text, _SHOWN_CHARS)}",
            }
            for name, text in lines.items():
                console.print(Text.assemble((f"  {name:9}", "cyan"), " ".join(text.split())), soft_wrap=True)
        if len(found) > _SHOWN:
            console.print(f"  and {len(found) - _SHOWN:,} more {title}")
