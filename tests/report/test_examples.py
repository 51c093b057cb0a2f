"""Drafts and refinements on the page, and the test questions that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from igrpo.report.examples import LONGEST
from igrpo.report.model import Example, QuestionChange
from igrpo.report.page import html
from igrpo.runs.rollout_log import RolloutLog
from tests.report.run_dirs import report_of, write_condition, write_run

R, W = True, False


def sample(number: int, role: str, text: str, *, right: bool | None, shows: int | None = None) -> dict[str, Any]:
    score = None if right is None else {"correct": right, "value": float(right)}
    return {
        "id": [1, number],
        "role": role,
        "context": [] if shows is None else [[1, shows]],
        "text": text,
        "score": score,
    }


def line(step: int, name: str, draft: bool | None, refined: bool | None, text: str = "r") -> dict[str, Any]:
    samples = [sample(0, "draft", f"d of {name}", right=draft), sample(1, "refinement", text, right=refined, shows=0)]
    return {"step": step, "question": {"id": name, "problem": f"p {name}", "answer": "7"}, "samples": samples}


def picked(examples: tuple[Example, ...]) -> list[tuple[str, str]]:
    return [(one.question_id, f"{one.draft_outcome} {one.refinement_outcome}") for one in examples]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", after=[0.5, 0.75])


def test_the_last_steps_come_first_and_each_question_once(run: Path) -> None:
    log = RolloutLog(run / "rollouts")
    log.append(1, [line(1, "old", W, R), line(1, "worse", R, W)])
    log.append(
        2,
        [
            line(2, "same", R, R),
            line(2, "none", None, R),
            line(2, "a", W, R),
            line(2, "a", W, R),
            line(2, "b", W, R),
            line(2, "c", W, R),
        ],
    )
    report = report_of(run)
    assert picked(report.examples) == [("a", "wrong right"), ("b", "wrong right"), ("worse", "right wrong")]
    assert [one.step for one in report.examples] == [2, 2, 1]
    assert report.examples[0].draft == "d of a"
    assert report_of(run).examples == report.examples  # the same runs give the same ones


def test_text_of_a_model_is_text(run: Path) -> None:
    hostile = "</pre><script>alert(1)</script>\x1b[2J\u202e\nsecond line" + "x" * 5000 + "END"
    RolloutLog(run / "rollouts").append(1, [line(1, "<i>q</i>", W, R, hostile)])
    report = report_of(run)
    (one,) = report.examples
    assert len(one.refinement) <= LONGEST
    assert one.refinement.endswith("xEND")
    assert "\nsecond line" in one.refinement
    assert not {"\x1b", "\u202e"} & set(one.refinement)
    source = html(report, [])
    assert "<script" not in source
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)" in source
    assert "&lt;i&gt;q&lt;/i&gt;" in source


def test_rollouts_that_cannot_be_read_are_left_out(run: Path) -> None:
    assert report_of(run).examples == ()
    log = RolloutLog(run / "rollouts")
    log.append(1, [line(1, "a", W, R)])
    log.append(2, [{"step": 2, "question": {}, "samples": [{"id": [0, 0]}]}])
    assert report_of(run).examples == ()
    (file,) = (run / "rollouts").iterdir()
    file.write_bytes(b"no gzip")
    assert report_of(run).examples == ()


def test_questions_that_became_right_or_wrong(tmp_path: Path) -> None:
    # shares of the mean over two seeds: grpo .75 .25 .5 1 0; igrpo .75 .75 .5 .25 .125
    write_condition(tmp_path, "grpo", {0: [1.0, 0.25, 0.5, 1.0, 0.0], 1: [0.5, 0.25, 0.5, 1.0, 0.0]}, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", {0: [0.75, 1.0, 0.5, 0.5, 0.25], 1: [0.75, 0.5, 0.5, 0.0, 0.0], 2: [1.0] * 5})
    report = report_of(tmp_path)
    found = report.changes[0]
    assert (found.pair, found.metric, found.seeds, found.questions) == (
        ("grpo", "igrpo"),
        "test/single_shot/accuracy",
        2,
        5,
    )
    assert (found.right_in_both, found.became_right, found.became_wrong, found.wrong_in_both) == (1, 1, 1, 2)
    assert found.gains == (
        QuestionChange(id="p1", first=0.25, second=0.75),
        QuestionChange(id="p4", first=0.0, second=0.125),
    )
    assert found.losses == (QuestionChange(id="p3", first=1.0, second=0.25),)
    assert [change.metric.split("/")[1] for change in report.changes] == ["single_shot", "greedy", "draft_conditioned"]
    assert "Test questions that became right or wrong" in html(report, [])


def test_runs_without_common_questions_have_no_changes(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "algorithm=grpo", after=[0.5, 0.75], ids=["a", "b"])
    write_run(tmp_path / "b", after=[0.5, 0.75], ids=["c", "d"])
    assert report_of(tmp_path).changes == ()
