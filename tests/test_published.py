"""Every measured number of the READMEs and the docs comes out of a committed file (benchmarks/published.py)."""

from __future__ import annotations

import re

import pytest

from benchmarks.published import PAGES, ROOT, outside, rendered, unsupported
from benchmarks.result_figure import FIGURE, svg

TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}

#: What was measured and has a file.
MEASURED = {
    "README.md": TEXTS["README.md"].partition("\n## The result\n")[2].partition("\n## ")[0],
    "docs/results.md": TEXTS["docs/results.md"],
    "experiments/README.md": TEXTS["experiments/README.md"],
}

REPORT = "benchmarks/results/ablation/tables.md"


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_those_of_the_files(name: str) -> None:
    assert TEXTS[name] == rendered(TEXTS[name]), "run `python benchmarks/published.py`"


@pytest.mark.parametrize("name", PAGES)
def test_every_measured_number_is_in_its_file(name: str) -> None:
    assert unsupported(TEXTS[name]) == []


@pytest.mark.parametrize("name", MEASURED)
def test_no_measured_number_is_without_a_file(name: str) -> None:
    assert MEASURED[name]
    assert outside(MEASURED[name]) == []
    assert len(outside(re.sub(r"<!-- (numbers|table): \S+", "<!--", MEASURED[name]))) > 5


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("GRPO ends at 92.8 %, iGRPO 24.1 points [−39.5, −8.6] below it", []),
        ("24 points, 10,240 samples, 267k tokens, p 0.04", []),
        ("GRPO ends at 92.7 %", ["92.7"]),
        ("68.8 points", ["68.8"]),
        ("10,241 samples", ["10,241"]),
        ("266k tokens", ["266k"]),
        ("21<!-- 21 = 89.6 - 68.7 --> points", []),
        ("22<!-- 22 = 89.6 - 68.7 --> points", ["22 = 89.6 - 68.7"]),
        ("22<!-- 22 = 90.66 - 68.7 --> points", ["22 = 90.66 - 68.7"]),
        ("`trainer.steps=23` in [a file](results/23.md) of 1.5B", []),
    ],
)
def test_a_number_of_the_text_is_looked_up(words: str, wrong: list[str]) -> None:
    text = f"# A\n23.5\n\n<!-- numbers: {REPORT} -->\n{words}\n\n# B\n77.7\n"
    assert unsupported(text) == [f"{number} ({REPORT})" for number in wrong]
    assert outside(text) == ["23.5", "77.7"]


def test_results_in_json_count_as_shares_and_thousandths() -> None:
    file = "benchmarks/results/logging_cost.json"  # ratio 0.02204, cost_s 0.006296
    text = f"<!-- numbers: {file} -->\n2.2 % and 6.3 ms, not 7.77 %\n<!-- /numbers -->\n8.88\n"
    assert unsupported(text) == [f"7.77 ({file})"]
    assert outside(text) == ["8.88"]


def test_a_table_is_written_anew() -> None:
    table = rendered(f"<!-- table: {REPORT} -->\n| grpo | 99.9 |\n<!-- /table -->\n")
    assert "99.9" not in table
    assert "| iGRPO | 68.7 | **−24.1 [−39.5, −8.6]**, p 0.043 | 70.2 | −13.8 [−43.0, +15.3] | 80 | 10,240 |" in table
    assert "| `bare` | 92.8 | 0.0 [−2.1, +2.1] |" in table
    assert rendered(table) == table


def test_the_figure_of_the_results_has_the_numbers_of_the_tables() -> None:
    def texts(svg: str) -> list[str]:
        return re.findall(r"<text[^>]*>([^<]+)</text>", svg)

    assert texts(FIGURE.read_text(encoding="utf-8")) == texts(svg()), "run `python -m benchmarks.result_figure`"
    assert {"GRPO", "iGRPO", "92.8", "68.7", "54.9", "34.0", "before: 40.9", "before: 10.8"} <= set(texts(svg()))
