"""The written table: measured numbers and printed ones apart, budgets, marks and remarks."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console

from igrpo.tools.reproduce.average import Number
from igrpo.tools.reproduce.page import markdown, print_result
from igrpo.tools.reproduce.printed import PrintedRow
from igrpo.tools.reproduce.result import MeasuredRow, Spending, TableResult, as_json

ROOT = Path(__file__).resolve().parents[3]
SPENT = Spending(2560.0, 84685.4, ("CPU",), ("0123456789abcdef-dirty",), ("aaaaaaaaaaaa", "bbbbbbbbbbbb"))
RESULT = TableResult(
    name="1",
    title="Table 1: a table",
    kind="accuracy",
    unit="pass@1 in percent",
    comparable=True,
    columns=("AIME24", "Avg"),
    rows=(
        MeasuredRow("g", "A-7B", "base", {"AIME24": Number(0.5, 0.25, 1.0), "Avg": None}, (0,), None, ()),
        MeasuredRow("g", "A-7B", "GRPO", {}, (), None, ("g, grpo s1: failed",), note="by <b>hand</b>"),
        MeasuredRow("g", "B-7B", "GRPO", {"AIME24": Number(0.25, None, None)}, (0, 1), SPENT, ()),
    ),
    printed_columns=("AIME24", "Avg"),
    printed=(
        PrintedRow("A-7B", "base", {"AIME24": 54.4, "Avg": 61.93}, (1,)),
        PrintedRow("B-7B", "GRPO", {"Avg": 9.0}, ()),
    ),
    notes=("A note.",),
    footnotes=("A defect.",),
    command="igrpo reproduce table=1",
    version="1.0",
)


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_printed_numbers_have_columns_of_their_own() -> None:
    page = markdown(RESULT)
    assert rows(page)[:7] == [
        ["", "AIME24", "Avg", "seeds", "paper: AIME24", "paper: Avg"],
        [":--", "--:", "--:", "--:", "--:", "--:"],
        ["**A-7B**", "", "", "", "", ""],
        ["base (paper 1)", "50.0 [25.0, 100.0]", "–", "0", "54.4", "61.93"],
        ["GRPO", "–", "–", "–", "–", "–"],
        ["**B-7B**", "", "", "", "", ""],
        ["GRPO", "25.0", "–", "0, 1", "–", "9"],
    ]
    assert ["GRPO", "2,560", "84,685", "aaaaaaaa, bbbbbbbb"] in rows(page)
    for words in (
        "hardware: CPU; commit: 01234567-dirty",
        "- A note.",
        "paper 1) A defect.",
        "missing: g, grpo s1: failed",
    ):
        assert words in page


def test_numbers_of_another_model_are_not_beside_the_printed_ones() -> None:
    page = markdown(replace(RESULT, comparable=False))
    assert rows(page)[0] == ["", "AIME24", "Avg", "seeds"]
    assert "## Printed in the paper; not comparable: another model and data" in page
    assert ["base (paper 1)", "54.4", "61.93"] in rows(page)


def test_the_console_has_three_tables() -> None:
    out = StringIO()
    print_result(RESULT, Console(file=out, width=80))
    text = out.getvalue()
    assert text.index("Measured here") < text.index("The runs") < text.index("Printed in the paper, not")
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_numbers_as_json() -> None:
    found = json.loads(json.dumps(as_json(RESULT)))
    assert found["schema_version"] == 1
    assert found["rows"][0]["numbers"] == {"AIME24": {"mean": 0.5, "low": 0.25, "high": 1.0}, "Avg": None}
    assert found["rows"][2]["spending"]["config_hashes"] == ["aaaaaaaaaaaa", "bbbbbbbbbbbb"]
    assert found["printed"][0]["numbers"]["Avg"] == 61.93


def test_the_page_of_the_docs_shows_the_kept_result() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "reproduce" / "table1_quick.json").read_text())
    assert kept.pop("schema_version") == 1
    out = StringIO()
    print_result(TypeAdapter(TableResult).validate_python(kept), Console(file=out, width=80))
    page = (ROOT / "docs" / "reproduce.md").read_text()
    block = page.partition("<!-- output: table=1 quick=true -->\n```text\n")[2].partition("\n```")[0].splitlines()
    printed = iter(line.rstrip() for line in out.getvalue().splitlines())
    assert len(block) > 20
    assert [line for line in block if line != "..." and line not in printed] == []  # in this order
