"""One seed cannot tell a difference from chance: its comparison has no interval, no p and no P(better), anywhere."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from igrpo.report.console import print_report
from igrpo.report.figures import drawings
from igrpo.report.model import Comparison, Report
from igrpo.report.write import write_report
from tests.report.run_dirs import GRPO, IGRPO, of_metric, report_of, write_condition

#: What a comparison of several seeds has and one of a single seed lacks.
CERTAINTY = {
    "interval", "bootstrap_interval", "degrees_of_freedom", "p_value", "p_better", "p_adjusted", "effect_size",
    "minimum_detectable_effect",
}  # fmt: skip
AFTER = {"grpo": GRPO, "igrpo": IGRPO, "once": {0: IGRPO[0]}}  # the last is 18.75 points below grpo


def report(folder: Path, *names: str, seeds: tuple[int, ...] = (0, 1, 2)) -> Report:
    for name in names:
        overrides = ["algorithm=grpo"] if name == "grpo" else []
        changes = {"algorithm.selection": "random"} if name == "once" else {}
        by_seed = {seed: after for seed, after in AFTER[name].items() if seed in seeds}
        write_condition(folder, name, by_seed, *overrides, changes=changes)
    return report_of(folder)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Three seeds of two conditions, and one seed of a third."""
    return report(tmp_path_factory.mktemp("mixed"), "grpo", "igrpo", "once")


@pytest.fixture(scope="module")
def written(mixed: Report, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_report(mixed, tmp_path_factory.mktemp("report"))


def headline(found: Report) -> dict[str, Comparison]:
    return {c.pair[1]: c for c in of_metric(found.comparisons)}


def shown(found: Report, paths: dict[str, Path]) -> list[str]:
    console = Console(file=io.StringIO(), width=100, no_color=True)
    print_report(found, paths, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_numbers_of_one_seed_are_null(mixed: Report, written: dict[str, Path]) -> None:
    once = next(c for c in json.loads(written["numbers"].read_text())["comparisons"] if c["pair"] == ["grpo", "once"])
    assert once["difference"] == pytest.approx(-0.75 / 4)
    assert {name: once[name] for name in CERTAINTY} == dict.fromkeys(CERTAINTY)
    assert once["seed_differences"] == {"0": pytest.approx(-0.75 / 4)}
    assert "another seed may give another result" in once["verdict"]


def test_holms_family_does_not_count_one_seed(mixed: Report, tmp_path: Path) -> None:
    alone = headline(report(tmp_path, "grpo", "igrpo"))["igrpo"]
    assert headline(mixed)["igrpo"].model_dump(include=CERTAINTY) == alone.model_dump(include=CERTAINTY)
    assert {c.family for c in headline(mixed).values()} == {1}


def test_tables_show_no_certainty_of_one_seed(written: dict[str, Path]) -> None:
    text = written["markdown"].read_text()
    differences, certainty = text.partition("## Differences")[2].split("## Certainty and power")
    (row,) = re.findall(r"^\| once .*$", differences.partition("**Greedy")[0], re.MULTILINE)
    assert "| −18.8 | – | – | −18.8 |" in row
    assert "once" not in certainty.partition("## ")[0]
    assert "−18.8 percentage points (one seed: no interval)" in text
    latex = written["latex"].read_text()
    (line, *_) = re.findall(r"^\{\}once \$-\$ grpo .*$", latex, re.MULTILINE)
    assert line.count(r"\textendash{}") == 2


def test_page_marks_no_finding_of_one_seed(written: dict[str, Path]) -> None:
    page = written["page"].read_text()
    (finding,) = re.findall(r'<div class="finding">\s*<p class="sum"><span class="pair">once.*?</div>', page, re.DOTALL)
    assert "−18.8 percentage points (one seed: no interval)" in finding
    assert "interval −" not in finding


def test_console_shows_no_certainty_of_one_seed(mixed: Report, written: dict[str, Path]) -> None:
    lines = shown(mixed, written)
    cells = [line.split()[:6] for line in lines if "once − grpo" in line]
    assert cells[0] == ["once", "−", "grpo", "−18.8", "–", "–"]
    assert {cell[4] for cell in cells} == {"–"}


def test_forest_row_of_one_seed_is_a_point(mixed: Report) -> None:
    (drawing,) = [one for one in drawings(mixed) if one.name == "difference-test-single-shot-accuracy"]
    (axes,) = drawing.canvas.axes
    labels = {str(artist.get_label()) for artist in (*axes.lines, *axes.collections)}
    row = list(headline(mixed)).index("once")
    below = len(headline(mixed)) - 1 - row
    assert f"seeds {below}" in labels
    assert not {f"interval {below}", f"point {below}", f"bootstrap {row}", f"mde {row}"} & labels
    assert "one seed" in drawing.caption


def test_report_of_one_seed_alone_is_made(tmp_path: Path) -> None:
    found = report(tmp_path / "runs", "grpo", "igrpo", seeds=(0,))
    paths = write_report(found, tmp_path / "report")
    assert all(c.family == 0 and c.p_adjusted is None for c in found.comparisons)
    assert "Certainty and power" not in paths["markdown"].read_text()
    assert 'class="finding shown"' not in paths["page"].read_text()
    assert not any("[" in line for line in shown(found, paths) if "igrpo − grpo" in line)
    # what a condition reached keeps an interval, which is said to be about the test questions
    assert all(final.interval[0] < final.mean < final.interval[1] for final in found.finals)
    assert "that seed's test questions only" in found.notes[0]


def test_two_seeds_are_tested(tmp_path: Path) -> None:
    found = headline(report(tmp_path, "grpo", "igrpo", seeds=(0, 1)))["igrpo"]
    assert None not in {getattr(found, name) for name in CERTAINTY}
