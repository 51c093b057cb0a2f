"""Names, values, paths, errors and model output appear on the console as they are, whatever brackets they contain."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.table import Table

from igrpo.cli.main import main
from igrpo.config.composing.composer import Composer
from igrpo.runs.console import get_console
from igrpo.runs.log_file import run_log
from igrpo.runs.printing import print_facts, print_summary, print_sweep, print_tree
from igrpo.runs.sweep_directory import CellRecord, CellState
from igrpo.sweeps.plan import plan_of, print_plan
from igrpo.sweeps.watch import line
from igrpo.tools.doctor.diagnosis import Diagnosis
from igrpo.tools.doctor.page import print_page
from igrpo.tools.doctor.static_checks import Check
from tests.composed import config
from tests.report.run_dirs import write_run

TEXTS = ("[bold]x", "x[/]", "[/red]", "[1,2]", "[draft,refine]", "[link=x]y[/link]", "[@click=f]z", ":smile:", "\\[x]")


def _cell(text: str) -> CellRecord:
    return CellRecord(number=3, folder="003", swept={"run_name": text}, overrides=())


def _table(text: str) -> None:
    table = Table(title=text, caption=text)
    table.add_column(text)
    table.add_row(text)
    get_console().print(table)


def _checks(text: str) -> None:
    print_page(Diagnosis(config(), None, None, (), {}, None, (), [Check(text, "failed", text)], False), get_console())


#: What prints a text, and how often it is to be found.
SHOWN: dict[str, tuple[Callable[[str], object], int]] = {
    "print": (lambda text: get_console().print(f"a {text}", text), 2),
    "stderr": (lambda text: get_console(stderr=True).print(text), 1),
    "rule": (lambda text: get_console().rule(text), 1),
    "table": (_table, 4),
    "facts": (lambda text: print_facts([(text, text), ("note", text)]), 3),
    "summary": (
        lambda text: print_summary(
            {"algorithm": text, "stopped_by": text, "seconds": {text: 1.0}, "tokens": {text: 1}},
            Path("runs", text), f"mlflow {text}", f"http://{text}",
        ),
        7,
    ),
    "sweep": (lambda text: print_sweep([(_cell(text), CellState("FAILED", text, {}))], Path("multirun", text)), 4),
    "watch": (lambda text: get_console().print(line(_cell(text), CellState("FAILED", text, {}))), 2),
    "doctor": (_checks, 2),
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", SHOWN)
def test_user_text_is_printed_as_it_is(name: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    show, times = SHOWN[name]
    show(text)
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count(text) == times


@pytest.mark.parametrize("text", TEXTS)
def test_the_tree_of_settings_has_the_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_tree(config({"run_name": text}))
    assert f"run_name: {json.dumps(text)}" in capsys.readouterr().out


@pytest.mark.parametrize("text", TEXTS)
def test_a_warning_has_the_text(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with run_log(tmp_path):
        logging.getLogger("igrpo.test").warning("the model wrote %s", text)
    assert f"the model wrote {text}" in capsys.readouterr().out


def test_lists_and_brackets_in_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    names = ",".join(json.dumps(text) for text in ("[bold]x", "[/]", "[1,2]", ":smile:"))
    with Composer("train") as composer:
        planned = composer.check_sweep(
            ["algorithm=igrpo", "algorithm.train_on=[draft,refine],[refine]", f"run_name={names}"]
        )
    print_plan(plan_of(planned), planned.cells)
    shown = capsys.readouterr().out
    for cell in planned.cells:
        assert "".join(f" {key}={value}" for key, value in cell.swept.items()) in shown
    assert "algorithm.train_on=[draft,refine]" in shown


def test_the_names_of_conditions_in_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("[bold]", "[/]")):
        for seed in range(2):
            changes = {"condition": name, "algorithm.answers": 4 + i}
            write_run(
                tmp_path / "all" / f"{i}{seed}", "algorithm=grpo", seed=seed, after=[0.5, 0.25, 1.0], changes=changes
            )
    assert main(["report", "all", "--title", "[/] and [link=x]", "--out", "[1,2]", "--baseline", "[/]"]) == 0
    shown = capsys.readouterr().out
    for text in ("[/] and [link=x]", "[bold] \N{MINUS SIGN} [/]", "[1,2]/report.html"):
        assert text in shown
