"""The speed benchmark's program: the order of its runs and the files it writes, with runs that are made up."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import __main__ as program
from benchmarks.speed import limits, page
from benchmarks.speed.workload import Case


class MadeUp:
    """A runner that runs nothing: steps take as many seconds as the case has tokens."""

    calls: list[tuple[str, str, int]]

    def __init__(self, *_: Any) -> None:
        MadeUp.calls = []

    def run(self, name: str, kind: str, case: Case, *, repetition: int = 0, settings: tuple[str, ...] = ()) -> Any:
        self.calls.append((name, kind, repetition))
        seconds = float(sum(case.completion_lengths()) + case.group * sum(case.prompt_lengths()))
        step = {"step": seconds, "generation": seconds / 4, "training": 3 * seconds / 4, "update": seconds / 2}
        return {"steps": [step], "peak_mib": 100.0, "versions": {"trl": "7.7"}}


@pytest.fixture(autouse=True)
def _nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(program, "Runner", MadeUp)
    monkeypatch.setattr(limits, "rates", lambda case, device: {"decode": 1e9, "train": 1e9})
    for name in ("RESULTS", "SCALING", "PAGE"):
        monkeypatch.setattr(page, name, tmp_path / getattr(page, name).name)


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    # any file will do as TRL's Python: nothing is run
    monkeypatch.setattr(sys, "argv", ["speed", "--device", "cpu", "--trl-python", sys.executable, *options])
    program.main()


def test_programs_take_turns_in_every_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--repetitions", "3")
    assert [call for call in MadeUp.calls if call[0] == "S_long"] == [
        ("S_long", kind, repetition) for repetition in range(3) for kind in ("trl", "grpo", "igrpo")
    ]
    assert [kind for name, kind, _ in MadeUp.calls if name == "M_short"] == ["trl", "grpo"] * 3


def test_the_results_have_their_names_and_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch)
    found = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    cases = {"S_short", "S_long", "S_uniform", "M_short"}
    assert found["ratio_vs_trl"] == dict.fromkeys(cases, 1.0)
    assert found["igrpo_over_grpo"] == dict.fromkeys(("S_short", "S_long"), 1.0)
    assert found["peak_memory_vs_trl"] == 1.0
    assert found["train_over_limit"] > 0
    assert found["decode_over_limit"] > 0
    assert found["versions"]["trl"] == "7.7"
    assert found.keys() >= {"commit", "date", "machine", "settings", "runs"}
    assert page.PAGE.read_text(encoding="utf-8") == page.text(found, None)
    assert page.PAGE.with_name("speed.svg").exists()


def test_curves_have_slopes_and_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--scaling")
    curves = json.loads(page.SCALING.read_text(encoding="utf-8"))["curves"]
    assert curves.keys() == {"group", "prompt", "completion", "questions"}
    assert [point["group"] for point in curves["group"]["points"]] == [2, 4, 8, 16, 32]
    assert curves["group"]["slopes"]["step"] == pytest.approx(1), "seconds are proportional to the rows"
    assert 0.5 < curves["prompt"]["slopes"]["training"] < 1
    assert curves["questions"]["slopes"]["peak_mib"] == pytest.approx(0)
    assert page.PAGE.with_name("speed-scaling.svg").exists()


@pytest.mark.parametrize("options", [["--quick"], ["--cases", "S_short"], ["--without-trl"]])
def test_a_part_of_the_comparison_is_not_published(
    options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(program, "ROOT", tmp_path)
    run(monkeypatch, *options)
    assert not page.RESULTS.exists()
    assert not page.PAGE.exists()
    found = json.loads((tmp_path / "build" / "bench.json").read_text(encoding="utf-8"))
    assert ("without_trl" in found) == (options == ["--without-trl"])
