"""Questions whose first answers were all wrong, counted by hand from rollouts as training logs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from igrpo.report.all_wrong import all_wrong, all_wrong_bands, task_visits
from igrpo.report.conditions import group_runs
from igrpo.report.runs import find_runs
from igrpo.report.tasks import Task, tasks_of
from igrpo.report.visits import visits_of
from igrpo.runs.rollout_log import RolloutLog
from tests.report.run_dirs import write_run

#: A step's questions: id, verdicts of the first answers, verdicts of the refinements (None: no verdict).
Step = Sequence[tuple[str, Sequence[bool | None], Sequence[bool | None]]]

GRPO: list[Step] = [
    [("a", [False] * 4, []), ("b", [True, False, False, False], [])],
    [("c", [False, False, True, True], []), ("d", [None, False, False, False], [])],
    [("a", [True, True, False, False], []), ("b", [True] * 4, [])],
    [("a", [True, True, True, False], []), ("e", [False] * 4, [])],
]
IGRPO: list[Step] = [
    [("a", [False, False], [True, False]), ("b", [True, False], [True, True])],
    [("a", [False, False], [False, None]), ("c", [False, True], [])],
    [("b", [False, False], [False, False]), ("c", [True, True], [True, True])],
    [("a", [True, False], [True, True]), ("d", [None, None], [None, None])],
]


def sample(number: int, role: str, verdict: bool | None, context: list[list[int]]) -> dict[str, Any]:
    """A logged sample, with a text that looks like the lists that the reader skips."""
    score = None if verdict is None and number > 0 else {"correct": verdict, "value": 0.0, "outcome": "wrong"}
    text = '"token_ids":[1,2] "score": null }]'
    shown = {"text": text, "token_ids": [5, 6], "logprobs": [-0.5, "-inf"]}
    return {"id": [1, number], "role": role, "context": context, **shown, "score": score}


def write_rollouts(run: Path, steps: Sequence[Step], role: str, *, keep: int | None = None) -> None:
    log = RolloutLog(run / "rollouts", steps_per_file=2, keep_files=keep)
    for step, questions in enumerate(steps, start=1):
        lines = []
        for name, first, refined in questions:
            samples = [sample(i, role, verdict, []) for i, verdict in enumerate(first)]
            samples += [sample(9 + i, "refinement", verdict, [[1, 0]]) for i, verdict in enumerate(refined)]
            lines.append({"step": step, "question": {"id": name}, "samples": samples})
        log.append(step, lines)


def write_both(folder: Path, *, keep: int | None = None) -> Task:
    for name, steps, role in (("grpo", GRPO, "answer"), ("igrpo", IGRPO, "draft")):
        run = write_run(folder / name, f"algorithm={name}", after=[0.5, 0.5])
        write_rollouts(run, steps, role, keep=keep)
    (task,) = tasks_of(group_runs(find_runs([folder])).groups)
    return task


def test_the_numbers_of_both_conditions(tmp_path: Path) -> None:
    task = write_both(tmp_path)
    visits, missing = task_visits(task)
    assert missing == ()
    grpo, igrpo = all_wrong(task, visits)
    # Compared by 2 answers, as many as iGRPO has drafts. GRPO: a, c, d and e at their first visits, of 8 visits
    assert (grpo.answers, grpo.visits, grpo.share, grpo.started, grpo.again) == (2, 8, 4 / 8, 4, 1)
    assert (grpo.own_answers, grpo.own_share) == (4, 3 / 8)  # c has right answers among the last two
    assert grpo.refined is None
    assert grpo.later is not None
    assert grpo.later.mean == 3 / 4  # a at its last visit
    # held out at the first visits of a and b, the questions that were asked again: a 0 and 0, b 1 (its second is right
    # only if the first, which is right, is held out)
    assert grpo.chance is not None
    assert (grpo.chance.mean, grpo.chance.values) == (pytest.approx(1 / 3), 3)
    # iGRPO: a twice and b once, and d has one draft with no verdict and one without a score: 4 of 8 visits
    assert (igrpo.visits, igrpo.share, igrpo.own_share) == (8, 4 / 8, 4 / 8)
    assert (igrpo.started, igrpo.again) == (2, 1)  # a and d
    assert igrpo.chance is not None  # a 0 and 0, b 1 (its first), c 1 (its second)
    assert (igrpo.chance.mean, igrpo.chance.values) == (2 / 4, 4)
    assert igrpo.refined is not None
    assert (igrpo.refined.mean, igrpo.refined.values) == (1 / 5, 5)  # a: 1 of 2 and 0 of 1, b: 0 of 2
    assert igrpo.later is not None
    assert igrpo.later.mean == 1 / 2


def test_shares_over_training(tmp_path: Path) -> None:
    task = write_both(tmp_path)
    visits, _ = task_visits(task)
    bands = {(band.condition, band.measure): band for band in all_wrong_bands(task, visits, 2)}
    assert bands.keys() == {("grpo", "all-wrong/share"), ("igrpo", "all-wrong/share"), ("igrpo", "all-wrong/refined")}
    assert bands["grpo", "all-wrong/share"].x == (12.5, 37.5, 62.5, 87.5)  # the middles of four steps
    assert bands["grpo", "all-wrong/share"].mean == (1 / 2, 2 / 2, 0 / 2, 1 / 2)
    assert bands["igrpo", "all-wrong/refined"].mean == (0.5, 0.0, 0.0)  # none in the last step


def test_rollouts_that_were_not_kept_are_said(tmp_path: Path) -> None:
    task = write_both(tmp_path, keep=1)
    visits, missing = task_visits(task)
    assert visits == {}
    assert missing[0] == (
        "Questions that were all wrong are not counted for grpo: the rollouts of grpo begin at step 3 "
        "(tracking.rollout_files_kept)."
    )
    (run,) = find_runs([write_run(tmp_path / "none", "algorithm=grpo", after=[0.5, 0.5])])
    with pytest.raises(ValueError, match="no rollouts of a run on this machine"):
        visits_of(run)


def test_lines_of_another_version_are_an_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "grpo", "algorithm=grpo", after=[0.5, 0.5])
    RolloutLog(run / "rollouts").append(1, [{"step": 1, "question": {"id": "a"}, "answers": []}])
    (found,) = find_runs([tmp_path])
    with pytest.raises(ValueError, match=r"the rollouts of grpo cannot be read \(KeyError"):
        visits_of(found)


def test_a_condition_that_answers_once_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "grpo", "algorithm=grpo", after=[0.5, 0.5])
    write_rollouts(run, [[("a", [True], [])]], "answer")
    (task,) = tasks_of(group_runs(find_runs([tmp_path])).groups)
    visits, missing = task_visits(task)
    assert visits == {}
    assert missing == (
        "Questions that were all wrong are not counted for grpo: some questions have a single first answer.",
    )
