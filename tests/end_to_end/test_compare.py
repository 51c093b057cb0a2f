"""experiment=compare from a local file to its report, with a small model in place of the user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.runs import run_here
from tests.end_to_end.sweeps import folders, resume, states

SMALL = (
    "model=byte_level", "model.hidden=32", "model.layers=1", "model.mlp=32", "trainer=cpu", "trainer.steps=1",
    "trainer.questions_per_step=2", "completions_per_question=4", "sampling.max_completion_tokens=16",
    "prompt.max_draft_tokens=64", "evaluation.questions=6", "evaluation.samples=2", "condition=grpo,igrpo", "seed=0,1",
)  # fmt: skip


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    file = tmp_path / "problems.jsonl"
    rows = [{"problem": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(40)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return ["train", "experiment=compare", f"data.path={file}", *SMALL, f"hydra.sweep.dir={tmp_path / 'sweep'}"]


def test_from_the_plan_to_the_report(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_here([*arguments, "--plan"])
    planned = capsys.readouterr().out
    assert "4 (2 combinations, 2 seeds each)" in planned
    assert "estimated time: " in planned
    assert "1 step of 2 questions" in planned
    assert not (tmp_path / "sweep").exists()

    run_here([*arguments, "--no-measure"])
    assert states(tmp_path) == ["FINISHED"] * 4
    capsys.readouterr()
    run_here(resume(tmp_path))
    assert "4 of 4 runs are finished already" in capsys.readouterr().out
    run_here(resume(tmp_path, "trainer.steps=2"))
    steps = [json.loads((folder / "summary.json").read_text())["steps"] for folder in folders(tmp_path)]
    assert steps == [2] * 4

    run_here(["report", str(tmp_path / "sweep")])
    assert "igrpo − grpo" in capsys.readouterr().out
    report = json.loads((tmp_path / "sweep" / "report" / "report.json").read_text())
    assert [(one["name"], one["seeds"]) for one in report["conditions"]] == [("grpo", [0, 1]), ("igrpo", [0, 1])]
