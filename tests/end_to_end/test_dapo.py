"""iGRPO over the whole of DAPO, with entropy control, from the command line: resumed, and shared by two processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end import runs
from tests.end_to_end.checkpoints import assert_bit_equal, assert_close, checkpoint, interrupted_copy
from tests.end_to_end.test_processes import DDP, MIDDLE, SHORT, SINGLE, STEPS

# in one worker: its tests share a finished run
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dapo")]

PLACES = 3
SETTINGS = (
    *SHORT, "algorithm=igrpo", "objective=dapo", "dynamic_sampling=refill",
    f"trainer.questions_per_step={PLACES}", "dynamic_sampling.max_attempts=2",
    "objective.mask_truncated=false",  # condition=igrpo_dapo stands for the mask
    "objective.overlong_buffer=12", "objective.entropy_control.target=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dapo")
    runs.run_here(runs.train(folder, "single", *SETTINGS, *SINGLE))
    return folder / "single"


def test_what_the_run_says_of_itself_is_what_its_rollouts_hold(whole: Path) -> None:
    traces, coefficient = runs.rollouts(whole), 0.0
    for number, line in enumerate(runs.training_steps(whole), start=1):
        asked = [trace for trace in traces if trace["step"] == number]
        ids = [trace["question"]["id"] for trace in asked]
        assert len(ids) == len(set(ids)) == line["dynamic/sampled_questions"]
        reasons = [trace["dropped"] for trace in asked]
        assert sum(reason is not None for reason in reasons) == line["dynamic/dropped"]
        assert reasons.count("all_right") == line["dynamic/dropped_all_right"]
        assert reasons.count("all_wrong") == line["dynamic/dropped_all_wrong"]
        assert PLACES - reasons.count(None) == line["dynamic/missing"]
        for trace in asked:
            verdicts = {
                one["score"]["correct"] for one in trace["samples"] if one["role"] == trace["samples"][-1]["role"]
            }
            assert {"all_right": {True}, "all_wrong": {False}, None: {True, False}}[trace["dropped"]] == verdicts
        if None in reasons:
            assert -1 <= line["train/overlong_penalty_mean"] <= 0
            assert line["train/entropy_coefficient"] == pytest.approx(coefficient)
            coefficient += 0.005  # the entropy of so small a model is below the target of 2 nats
        else:
            assert line["train/entropy_coefficient"] == 0.0
    # 6 completions a question (SHORT): the dropped ones are paid for like the others
    assert runs.training_steps(whole)[-1]["budget/samples"] == runs.summary(whole)["samples"] == 6 * len(traces)
    assert len(traces) > STEPS * PLACES
    assert coefficient > 0


def test_it_resumes_bit_by_bit(whole: Path, tmp_path: Path) -> None:
    run_dir = interrupted_copy(whole, tmp_path / "resumed", STEPS)
    runs.run_here(["train", f"resume={run_dir}"])
    a, b = checkpoint(whole, STEPS), checkpoint(run_dir, STEPS)
    assert_bit_equal(a["state_dict"], b["state_dict"], "weights")
    assert_bit_equal(a["optimizer_states"], b["optimizer_states"], "optimizer")
    assert a["igrpo"]["entropy_coefficient"] == b["igrpo"]["entropy_coefficient"] > 0
    assert runs.rollouts(whole) == runs.rollouts(run_dir)
    assert runs.metrics(whole) == runs.metrics(run_dir)
    assert checkpoint(run_dir, MIDDLE)["igrpo"]["rollout_step"] == MIDDLE


def test_two_processes_train_what_one_trains(whole: Path, tmp_path: Path) -> None:
    """Each fills its own places, which takes them different numbers of questions."""
    runs.run_here(runs.train(tmp_path, "ddp", *SETTINGS, *DDP))
    assert_close(runs.rollouts(whole), runs.rollouts(tmp_path / "ddp"), "rollouts", rel=1e-5, abs=1e-5)
    assert_close(runs.metrics(whole), runs.metrics(tmp_path / "ddp"), "metrics", rel=1e-4, abs=1e-5)
    a, b = checkpoint(whole, STEPS), checkpoint(tmp_path / "ddp", STEPS)
    assert_close(a["state_dict"], b["state_dict"], "weights", rel=0.0, abs=2e-6)
    assert a["igrpo"]["entropy_coefficient"] == pytest.approx(b["igrpo"]["entropy_coefficient"])
    counted = ("samples", "tokens", "flops", "steps")
    assert {k: runs.summary(whole)[k] for k in counted} == {k: runs.summary(tmp_path / "ddp")[k] for k in counted}
