"""The tables on the console, cell by cell."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from igrpo.runs.printing import print_facts, print_summary, print_sweep, print_tree
from igrpo.runs.sweep_directory import CellRecord, CellState
from tests.composed import config


def printed(show: Any, *arguments: Any) -> list[str]:
    out = StringIO()
    show(*arguments, console=Console(file=out, width=140))
    return out.getvalue().splitlines()


def row(lines: list[str], start: str) -> list[str]:
    """The cells of the row that starts so."""
    (found,) = [line for line in lines if line.strip().startswith(start)]
    return re.split(r"\s{2,}", found.strip())


SUMMARY = {
    "algorithm": "igrpo",
    "objective": "grpo",
    "seed": 3,
    "steps": 80,
    "single_shot": {
        "before": 0.25,
        "after": 0.5625,
        "interval_before": [0.2, 0.3],
        "interval_after": [0.5, 0.625],
        "greedy_before": 0.3,
        "greedy_after": 0.7,
        "samples_per_question": 4,
        "questions": 256,
    },
    "draft_conditioned": {"before": 0.4, "after": 0.35, "interval_before": [0.3, 0.5], "interval_after": None},
    "entropy": {"draft": {"first": 1.5, "last": 0.25}, "refinement": {"first": 1.0, "last": None}},
    "samples": 10240,
    "tokens": {"generated": 1234567, "prefilled": 89, "trained": 0},
    "flops": 1234567890123456,
    "seconds": {"rollout": 30.0, "train": 10.0, "evaluation": None},
}


def test_summary() -> None:
    lines = printed(print_summary, SUMMARY, Path("/runs/x"), "mlflow ui", "http://link")
    assert lines[0].strip() == "algorithm igrpo · objective grpo · seed 3 · steps 80"
    assert row(lines, "single-shot, mean of 4")[1:] == ["25.0 % [20.0, 30.0]", "56.2 % [50.0, 62.5]", "+31.2 points"]
    assert row(lines, "single-shot, greedy")[1:] == ["30.0 %", "70.0 %", "+40.0 points"]
    assert row(lines, "draft-conditioned")[1:] == ["40.0 % [30.0, 50.0]", "35.0 %", "-5.0 points"]
    assert row(lines, "drafts")[1:] == ["1.500", "0.250", "-1.250"]
    assert row(lines, "refinements")[1:] == ["1.000", "-", "-"]
    assert row(lines, "samples")[1] == "10,240"
    assert row(lines, "tokens generated")[1] == "1,234,567"
    assert row(lines, "tokens trained")[1] == "0"
    assert row(lines, "FLOPs")[1] == "1.235e+15"
    assert row(lines, "seconds rollout")[1:] == ["30.0", "75%"]
    assert not any("seconds evaluation" in line for line in lines)
    assert any("256 questions" in line for line in lines)
    assert lines[-3:] == ["Run directory:  /runs/x", "MLflow UI:      mlflow ui", "Run in MLflow:  http://link"]


def test_greedy_decoding_has_a_row_only_if_it_was_evaluated() -> None:
    single = {name: value for name, value in SUMMARY["single_shot"].items() if not name.startswith("greedy")}
    lines = printed(print_summary, SUMMARY | {"single_shot": single}, Path("x"), None, None)
    assert row(lines, "single-shot, mean of 4")
    assert not any("greedy" in line for line in lines)


def test_what_the_judge_took_is_in_the_cost_table() -> None:
    used = SUMMARY | {"judge": {"input_tokens": 12345, "output_tokens": 678, "cost": 0.03105}}
    lines = printed(print_summary, used, Path("x"), None, None)
    assert row(lines, "judge's input tokens")[1] == "12,345"
    assert row(lines, "judge's output tokens")[1] == "678"
    assert row(lines, "judge's cost")[1] == "0.03105"
    free = printed(
        print_summary,
        used | {"judge": {"input_tokens": 12345, "output_tokens": 678, "cost": 0.0}},
        Path("x"),
        None,
        None,
    )
    assert not any("judge's cost" in line for line in free)
    assert not any(
        "judge's" in line for line in printed(print_summary, SUMMARY | {"judge": None}, Path("x"), None, None)
    )


def test_the_worth_of_a_draft_is_in_the_table() -> None:
    right = {"drafts": 9, "right": 0.45, "gain": {"value": 0.2, "low": 0.0875, "high": 0.3125}}
    wrong = {"drafts": 3, "right": 0.0, "gain": {"value": -0.5, "low": None, "high": None}}
    alone = {"drafts": 12, "right": 0.5, "gain": None}  # one sample per question
    none = {"drafts": 0, "right": None, "gain": None}
    before = {"given_right": right, "given_wrong": wrong, "bare": 0.75}
    after = {"given_right": alone, "given_wrong": none, "bare": 1.0}
    lines = printed(print_summary, SUMMARY | {"draft_worth": {"before": before, "after": after}}, Path("x"), None, None)
    assert row(lines, "given a right draft")[1:] == ["45.0 %", "50.0 %", "+5.0 points"]
    assert row(lines, "a right draft adds")[1:] == ["+20.0 [+8.8, +31.2]", "-", "-"]
    assert row(lines, "given a wrong draft")[1:] == ["0.0 %", "-", "-"]
    assert row(lines, "a wrong draft adds")[1:] == ["-50.0", "-", "-"]
    for absent in ({"before": None, "after": None}, {"before": after, "after": None}, None):
        lines = printed(print_summary, SUMMARY | {"draft_worth": absent}, Path("x"), None, None)
        assert not any("wrong draft" in line or " draft adds" in line for line in lines)


def test_a_summary_of_a_baseline_and_of_nothing() -> None:
    baseline = SUMMARY | {"draft_conditioned": None, "entropy": {"answer": {"first": 1.0, "last": 1.0}}, "tokens": None}
    lines = printed(print_summary, baseline, Path("x"), None, None)
    assert row(lines, "draft-conditioned")[1:] == ["-", "-", "-"]
    assert row(lines, "answers")[1:] == ["1.000", "1.000", "+0.000"]
    assert lines[-1] == "Run directory:  x"
    empty = printed(print_summary, {}, Path("x"), None, None)
    assert row(empty, "single-shot, sampled")[1:] == ["-", "-", "-"]
    assert row(empty, "samples")[1] == row(empty, "FLOPs")[1] == "-"


def test_a_run_that_its_budget_ended_says_so() -> None:
    lines = printed(print_summary, SUMMARY | {"stopped_by": "budget.max_samples"}, Path("x"), None, None)
    expected = "algorithm igrpo · objective grpo · seed 3 · steps 80 · stopped by budget.max_samples"
    assert lines[0].strip() == expected
    lines = printed(print_summary, SUMMARY | {"stopped_by": None}, Path("x"), None, None)
    assert lines[0].strip() == "algorithm igrpo · objective grpo · seed 3 · steps 80"


def test_the_interval_of_the_summary_file_belongs_to_the_end() -> None:
    lines = printed(
        print_summary, {"single_shot": {"before": 0.1, "after": 0.2, "interval": [0.1, 0.3]}}, Path("x"), None, None
    )
    assert row(lines, "single-shot, sampled")[1:3] == ["10.0 %", "20.0 % [10.0, 30.0]"]


def test_tree_has_every_setting_and_cuts_long_texts() -> None:
    lines = printed(print_tree, config({"prompt.system": "word " * 100}))
    assert "├── algorithm" in lines
    assert any(line.endswith("kl_beta: 0.0") for line in lines)
    assert any(line.endswith("betas: [0.9, 0.95]") for line in lines)
    assert any(line.endswith("clip_low: 0.2") for line in lines)
    assert any(line.endswith("constant_divisor: null") for line in lines)
    (system,) = [line for line in lines if "system:" in line]
    assert system.endswith(" ...")
    assert len(system) < 120


def test_facts_and_notes() -> None:
    lines = printed(print_facts, [("note", "mind [this]"), ("steps", "80 [x]")])
    assert row(lines, "steps") == ["steps", "80 [x]"]
    assert any("mind [this]" in line for line in lines)
    assert row(lines, "note")[0] == "note"


def test_a_sweep_is_a_row_a_run_and_names_what_did_not_finish(tmp_path: Path) -> None:
    done = {
        "single_shot": {"before": 0.25, "after": 0.5},
        "draft_conditioned": {"after": 0.75},
        "samples": 96,
        "tokens": {"trained": 1234},
    }
    states = [CellState("FINISHED", None, done), CellState("FAILED", "lost", {}), CellState("WAITING", None, {})]
    cells = [
        (CellRecord(number=i, folder=f"00{i}-s{i}", swept={"seed": str(i)}, overrides=()), state)
        for i, state in enumerate(states)
    ]
    failed: list[int] = []
    lines = printed(lambda console: failed.append(print_sweep(cells, tmp_path, console)))
    assert failed == [2]
    assert row(lines, "0: s0") == ["0: s0", "25.0 %", "50.0 %", "75.0 %", "96", "1,234"]
    assert row(lines, "1: s1")[1:] == ["-", "-", "-", "-", "-"]
    assert f"run 1 (s1) failed: lost; its log: {tmp_path / '001-s1'}/log.txt" in lines
    assert f"run 2 (s2) has not begun; its log: {tmp_path / '002-s2'}/log.txt" in lines
