"""`igrpo reproduce` on tables 1 and 2 and figure 3, quick and smaller still: runs, evaluations, files, and a second call."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from igrpo.evaluation.store import read_samples
from igrpo.runs.sweep_directory import SweepDirectory
from tests.end_to_end.runs import SMALL, finish, run_here, start, wait_until
from tests.end_to_end.sweeps import written

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: As short as a run can be that evaluates and saves.
TINY = (*SMALL, "trainer.steps=2", "evaluation.every=2", "tracking=none")


def command(table: str, folder: Path, *more: str) -> list[str]:
    return ["reproduce", f"table={table}", "quick=true", *TINY, *more, "--output", str(folder / "out")]


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "table.json").read_text())
    return found


def test_table_1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_here(command("1", tmp_path))
    printed = capfd.readouterr().out
    assert "Printed in the paper; not comparable: another model and data" in printed
    found = result(tmp_path)
    assert not found["comparable"]
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["base", "GRPO", "Self-Verification", "Critique-GRPO", "iGRPO"]
    sweep = SweepDirectory(tmp_path / "out" / "runs" / "tiny-methods")
    assert len(sweep.read().cells) == 8
    for name, row in rows.items():
        assert (row["seeds"], row["missing"]) == ([0, 1], [])
        assert (row["spending"] is None) == (name == "base")
    # the oracle: the share of right samples that the evaluations kept, as means over the two seeds
    for cell in ("grpo", "igrpo"):
        folders = sorted((tmp_path / "out" / "evals" / "tiny-methods").glob(f"00?-{cell}_s*-last"))
        assert len(folders) == 2
        means = [_right(folder) for folder in folders]
        number = rows[{"grpo": "GRPO", "igrpo": "iGRPO"}[cell]]["numbers"]["test split"]
        assert number["mean"] == pytest.approx(sum(means) / 2)
        assert number["low"] <= number["mean"] <= number["high"]
    summary = json.loads((sweep.run_directory(sweep.read().cells[0]).summary).read_text())
    assert rows["base"]["numbers"]["test split"]["mean"] > 0
    assert rows["GRPO"]["spending"]["config_hashes"][0] == summary["config_hash"]
    assert len(found["printed"]) == 19
    page = (tmp_path / "out" / "table.md").read_text()
    assert "paper 1) DeepSeek-R1-Distill-Qwen-7B base Avg is printed 61.93" in page

    before = written(tmp_path / "out" / "runs", tmp_path / "out" / "evals")
    run_here(command("1", tmp_path))
    shown = capfd.readouterr().out
    assert "all 8 runs are finished already" in shown
    assert "10 of 10 evaluations are complete already" in shown
    assert written(tmp_path / "out" / "runs", tmp_path / "out" / "evals") == before


def _right(folder: Path) -> float:
    samples = [one for one in read_samples(folder / "samples" / "test.jsonl") if one.kind == "single_shot"]
    assert len({one.question for one in samples}) == 8
    return sum(one.correct for one in samples) / len(samples)


def test_table_2(tmp_path: Path) -> None:
    run_here(command("2", tmp_path, "seed=0"))
    found = result(tmp_path)
    assert [row["method"] for row in found["rows"]] == ["DAPO", "DAPO + iGRPO", "GSPO", "GSPO + iGRPO"]
    assert all(row["numbers"]["test split"] is not None for row in found["rows"])
    configs = [row["spending"]["config_hashes"] for row in found["rows"]]
    assert len({tuple(hashes) for hashes in configs}) == 4
    assert [row["numbers"]["Avg"] for row in found["printed"]] == [69.74, 70.93, 69.2, 70.31]


def test_figure_3(tmp_path: Path) -> None:
    run_here(command("fig3", tmp_path))
    found = result(tmp_path)
    (row, _) = found["rows"]
    lines = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in sorted((tmp_path / "out" / "runs" / "tiny-entropy").glob("*-grpo_s*"))
    ]
    entropies = [[line["train/entropy"] for line in one if "budget/samples" in line] for one in lines]
    assert row["numbers"]["0%"]["mean"] == pytest.approx(sum(one[0] for one in entropies) / 2)
    assert row["numbers"]["100%"]["mean"] == pytest.approx(sum(one[-1] for one in entropies) / 2)
    assert (tmp_path / "out" / "fig3-tiny-entropy.svg").read_text().startswith("<svg")
    assert not (tmp_path / "out" / "evals").exists()


def test_a_table_that_was_interrupted_continues(tmp_path: Path) -> None:
    process = start(command("fig3", tmp_path, "seed=0", "trainer.steps=40"), tmp_path)
    sweep = SweepDirectory(tmp_path / "out" / "runs" / "tiny-entropy")
    wait_until(process, lambda: sweep.exists and sweep.state(sweep.read().cells[0]).status == "RUNNING")
    process.send_signal(signal.SIGINT)
    shown = finish(process)
    assert process.returncode == 130, shown
    assert "the same command continues: igrpo reproduce table=fig3 quick=true" in shown
    run_here(command("fig3", tmp_path, "seed=0", "trainer.steps=40"))
    assert result(tmp_path)["rows"][1]["missing"] == []
