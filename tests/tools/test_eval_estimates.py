"""Estimates in the result of an evaluation: which samples they are of, and that they survive the file."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from igrpo.evaluation.summary import summarise_samples
from igrpo.evaluation.validity.result import Checks
from igrpo.runs.evaluation_directory import BenchmarkResult, EvaluationDirectory, EvaluationResults
from igrpo.tools.evaluating.printing import results_tables
from igrpo.tools.evaluating.results import benchmark_result
from tests.evaluation.rows import row, rows

SINGLE = rows([[True, True, False, True], [False, False, True, False]])
REFINED = [row(f"q{q}", i, right=True, kind="draft_conditioned", answer="0") for q in range(2) for i in range(4)]


def same(one: str, other: str) -> bool:
    return one == other


def measured() -> BenchmarkResult:
    drawn = [*SINGLE, *REFINED, row("q0", 0, right=True, kind="greedy"), row("q0", 0, right=True, kind="mode/draft")]
    result: Any = SimpleNamespace(metrics=lambda prefix: {f"{prefix}/single_shot/accuracy": 0.5}, test_time=None)
    return benchmark_result(result, [], 4, drawn, checks=Checks(0.0, None, {}), same=same)


def test_each_kind_has_its_own() -> None:
    found = measured()
    assert found.metrics == {"single_shot/accuracy": 0.5}
    assert set(found.estimates) == {"single_shot", "draft_conditioned"}
    assert found.estimates["single_shot"] == summarise_samples(SINGLE, same)
    assert found.estimates["draft_conditioned"]["accuracy"].value == 1.0


def test_result_json_keeps_them(tmp_path: Path) -> None:
    directory = EvaluationDirectory(tmp_path)
    results = EvaluationResults(complete=True, benchmarks={"test": measured()})
    directory.write(results)
    assert directory.read_results() == results
    stored = json.loads(directory.result.read_text())["benchmarks"]["test"]["estimates"]["single_shot"]
    assert stored["pass_at_4"]["value"] == 1.0
    assert set(stored["accuracy"]) == {
        "value", "low", "high", "standard_error", "by_question", "by_question_and_sample"
    }  # fmt: skip
    del (older := json.loads(directory.result.read_text()))["benchmarks"]["test"]["estimates"]
    directory.result.write_text(json.dumps(older))
    assert directory.read_results().benchmarks["test"].estimates == {}


def test_the_table_has_those_of_all_samples() -> None:
    console = Console(width=80, record=True, force_terminal=False)
    with console.capture() as shown:
        for table in results_tables(EvaluationResults(benchmarks={"test": measured()})):
            console.print(table)
    # 4 of 4: always one right, never all; votes 3 : 1 for the right answer, and four different ones
    assert "100.0 [" in shown.get()
    majority = 100 * (1 + 1 / 4) / 2
    assert f"{majority:.1f} [" in shown.get()
    assert measured().estimates["single_shot"]["majority_at_4"].value == pytest.approx(majority / 100)
