"""The table of benchmarks in docs/evaluation.md has every file of conf/benchmark, with its numbers."""

from __future__ import annotations

from pathlib import Path

from igrpo.config.composing.folders import choices
from tests.composed import config as composed

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_the_table_is_that_of_the_files() -> None:
    lines = PAGE.read_text(encoding="utf-8").split("## Benchmarks", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    shown = {row[0]: row[1:5] for row in rows}
    expected = {}
    for name in (choice.name for choice in choices("benchmark")):
        one = composed(
            None, "model=byte_level", "prompt=boxed", f"+benchmark@evaluation.benchmarks.one={name}"
        ).evaluation.benchmarks["one"]
        expected[name] = [f"{one.rows:,}", str(one.samples), one.dataset, (one.digest or "")[:12]]
    assert shown == expected
