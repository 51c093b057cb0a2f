"""lm-evaluation-harness gives an exported model the verdicts that igrpo gives the run."""

from __future__ import annotations

import pytest

from benchmarks import external_check
from benchmarks.external_check import Compared
from tests.end_to_end.runs import SMALL, run_here

QUESTIONS = 48
QUICK = (*SMALL, "trainer.steps=2", "checkpoint.every=2", "tracking=none")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Compared]:
    run_dir = tmp_path_factory.mktemp("external") / "run"
    run_here(["train", "experiment=quickstart", *QUICK, f"hydra.run.dir={run_dir}"])
    name, rows = external_check.check(run_dir, QUESTIONS)
    assert name == "chains"
    return rows


def test_every_text_is_the_same(rows: list[Compared]) -> None:
    assert [row for row in rows if row.text.strip() != row.harness_text.strip()] == []


def test_every_verdict_is_the_same(rows: list[Compared]) -> None:
    assert len(rows) == QUESTIONS
    assert [row for row in rows if row.correct != row.harness_correct] == []
    assert 0 < sum(row.correct for row in rows) < QUESTIONS  # both verdicts occur, or this would say little
