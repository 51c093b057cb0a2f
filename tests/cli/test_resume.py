"""`igrpo train resume=RUN_DIR`: what it keeps, what it may change, what it refuses."""

import json
import os
from pathlib import Path

import pytest
import yaml

from igrpo.cli.main import main
from igrpo.config import read_config
from igrpo.runs.run_lock import run_lock
from igrpo.settings.judge import JudgeConfig
from igrpo.settings.reward import WeightedConfig
from tests.cli.conftest import FakeTraining


def resumable(training: FakeTraining, tmp_path: Path) -> Path:
    assert main(["train", "trainer.steps=4"]) == 0
    training.calls.clear()
    return next(tmp_path.glob("runs/*/*"))


def test_resume_goes_on_with_the_kept_settings(training: FakeTraining, tmp_path: Path) -> None:
    run_dir = resumable(training, tmp_path)
    kept = (run_dir / "config.yaml").read_text()
    assert main(["train", f"resume={run_dir.relative_to(tmp_path)}"]) == 0
    ((config, path, resume),) = training.calls
    assert (config.trainer.steps, path, resume) == (4, run_dir, True)
    assert (run_dir / "config.yaml").read_text() == kept
    assert not (run_dir / "config.previous.yaml").exists()


@pytest.mark.parametrize("flag", ["--plan", "--no-measure"])
def test_a_run_is_not_resumed_with_what_is_for_sweeps(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    run_dir = resumable(training, tmp_path)
    assert main(["train", f"resume={run_dir}", flag]) == 2
    assert not training.calls
    assert f"{flag} is for a sweep" in capsys.readouterr().err


def test_resume_may_change_a_few_settings_and_keeps_the_old_ones(training: FakeTraining, tmp_path: Path) -> None:
    run_dir = resumable(training, tmp_path)
    changes = ["trainer.steps=9", "trainer.device=auto", "tracking.uri=null", "checkpoint.every=1"]
    changes += ["profile=true", "profiling.after=0"]
    assert main(["train", f"resume={run_dir}", *changes]) == 0
    assert training.calls[0][0].profile
    trainer, tracking = training.calls[0][0].trainer, training.calls[0][0].tracking
    assert (trainer.steps, trainer.device, tracking.uri) == (9, "auto", None)
    assert read_config(run_dir / "config.yaml") == training.calls[0][0]
    assert yaml.safe_load((run_dir / "config.previous.yaml").read_text())["trainer"]["steps"] == 4


JUDGE = ("reward=judge", "reward.base_url=http://127.0.0.1:1/v1", "reward.model=m")


def test_resume_may_change_where_a_judge_is_and_what_it_may_cost(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = ("reward.max_cost=1", "reward.input_price=2")
    assert main(["train", *JUDGE, *prices]) == 0
    run_dir = next(tmp_path.glob("runs/*/*"))
    assert main(["train", f"resume={run_dir}", "reward.max_cost=5", "reward.base_url=https://other/v1"]) == 0
    reward = training.calls[-1][0].reward
    assert isinstance(reward, JudgeConfig)
    assert (reward.max_cost, reward.base_url, reward.input_price) == (5, "https://other/v1", 2)
    for refused in ("reward.votes=3", "reward.model=n", "reward.prompt.system=x", "reward.verifier.workers=2"):
        capsys.readouterr()
        assert main(["train", f"resume={run_dir}", refused]) == 2
        assert f"{refused}: resuming may change only " in capsys.readouterr().err
    assert main(["train", f"resume={run_dir}", "reward.max_cots=5"]) == 2
    assert "reward.max_cots: no such setting; did you mean 'reward.max_cost'?" in capsys.readouterr().err


def test_the_same_of_a_judge_within_a_sum(training: FakeTraining, tmp_path: Path) -> None:
    part = "reward.parts.judge.reward"
    assert main(["train", "reward=judge_and_rule", *(text.replace("reward.", f"{part}.") for text in JUDGE[1:])]) == 0
    run_dir = next(tmp_path.glob("runs/*/*"))
    assert main(["train", f"resume={run_dir}", f"{part}.retries=9"]) == 0
    reward = training.calls[-1][0].reward
    assert isinstance(reward, WeightedConfig)
    judge = reward.parts["judge"].reward
    assert isinstance(judge, JudgeConfig)
    assert judge.retries == 9
    assert main(["train", f"resume={run_dir}", "reward.parts.judge.weight=1.0"]) == 2


REFUSED = {
    "seed=1": "seed=1: resuming may change only trainer.steps, trainer.device, trainer.devices, trainer.nodes, trainer.strategy, tracking.uri, tracking.experiment, ",
    "trainer.threads=2": "trainer.threads=2: resuming may change only ",
    "algorithm=grpo": "algorithm=grpo: resuming may change only ",
    "experiment=quickstart": "experiment=quickstart: resuming may change only ",
    "run_name=x": "run_name=x: resuming may change only ",
    "trainer=single": "trainer=single: resuming may change only ",
    "trainer.steps=1,2": "trainer.steps=1,2: resuming may change only ",
    "+trainer.steps=3": "+trainer.steps=3: resuming may change only ",
    "~trainer.steps": "~trainer.steps: resuming may change only ",
    "budget.max_sample=1": "budget.max_sample: no such setting; did you mean 'budget.max_samples'?",
    "checkpoint.evry=1": "checkpoint.evry: no such setting; did you mean 'checkpoint.every'?",
    "trainer.steps": "'trainer.steps' is not a setting: write KEY=VALUE, without spaces",
}


def test_resume_refuses_the_rest(training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = resumable(training, tmp_path)
    capsys.readouterr()
    kept = (run_dir / "config.yaml").read_text()
    assert main(["train", f"resume={run_dir}", *REFUSED]) == 2
    problems = capsys.readouterr().err.splitlines()
    assert problems[0] == f"igrpo: resume has {len(REFUSED)} problems:"
    for problem, start in zip(problems[1:], REFUSED.values(), strict=True):
        assert problem.startswith(f"  - {start}")
    assert main(["train", f"resume={run_dir}", "trainer.steps=none"]) == 2
    assert "trainer.steps='none': " in capsys.readouterr().err
    assert training.calls == []
    assert (run_dir / "config.yaml").read_text() == kept


def test_resume_of_a_run_that_is_worked_on(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = resumable(training, tmp_path)
    with run_lock(run_dir):
        assert main(["train", f"resume={run_dir}", "trainer.steps=9"]) == 2
    assert f"is in use by process {os.getpid()}" in capsys.readouterr().err
    assert read_config(run_dir / "config.yaml").trainer.steps == 4
    assert training.calls == []


@pytest.fixture
def stopped(training: FakeTraining, tmp_path: Path) -> Path:
    """A run of 9 steps that budget.max_samples=40 ended after the third: 16, 32 and 48 samples."""
    assert main(["train", "trainer.steps=9", "budget.max_samples=40"]) == 0
    training.calls.clear()
    run_dir = next(tmp_path.glob("runs/*/*"))
    lines: list[dict[str, object]] = [{"step": 0, "time": 0.0, "development/x": 1.0}]
    for step in (1, 2, 3):
        each = {"samples": 16, "generated_tokens": 100, "trained_tokens": 80, "flops": 1e9}
        counters = {f"budget/{name}": count * step for name, count in each.items()}
        lines.append({"step": step, "time": 1.0, **counters, "seconds/update": 1.5 * step, "seconds/evaluation": 99.0})
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run_dir / "checkpoints").mkdir(exist_ok=True)
    (run_dir / "checkpoints" / "step-000003.ckpt").touch()
    (run_dir / "summary.json").write_text(json.dumps({"steps": 3, "single_shot": {"after": 0.5}, "seed": 0}))
    return run_dir


def test_a_run_that_its_budget_ended_is_finished(
    training: FakeTraining, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 33 is not 40, but it ends the run at the same step
    for change in ([], ["trainer.steps=20"], ["budget.max_samples=33"], ["budget.max_flops=3e9"]):
        capsys.readouterr()
        assert main(["train", f"resume={stopped}", *change]) == 0
        steps = 20 if "trainer.steps=20" in change else 9
        printed = capsys.readouterr().out
        assert f"budget.max_samples ended it after 3 of {steps} steps" in printed
        assert "larger budget.max_samples=NUMBER, or null" in printed
    assert main(["train", f"resume={stopped}", "budget.max_samples=null", "trainer.steps=3"]) == 0
    printed = capsys.readouterr().out
    assert "already finished (3 steps)" in printed
    assert "larger trainer.steps=NUMBER" in printed
    assert training.calls == []


@pytest.mark.parametrize("limit", ["budget.max_samples=49", "budget.max_samples=null"])
def test_it_goes_on_with_a_larger_budget(training: FakeTraining, stopped: Path, limit: str) -> None:
    assert main(["train", f"resume={stopped}", limit]) == 0
    ((config, _, resume),) = training.calls
    assert (config.budget.max_samples, resume) == (49 if limit.endswith("49") else None, True)
    assert read_config(stopped / "config.yaml").budget == config.budget


def test_an_end_that_was_not_reached_in_peace_is_made_up_for(training: FakeTraining, stopped: Path) -> None:
    """Killed after the last checkpoint: the test split is missing, and the budget must not stand in the way."""
    (stopped / "summary.json").write_text(json.dumps({"steps": 2, "single_shot": {"after": None}}))
    assert main(["train", f"resume={stopped}"]) == 0
    assert len(training.calls) == 1


@pytest.mark.parametrize(
    ("limit", "step"),
    [
        ("max_samples=32", 2),
        ("max_generated_tokens=1", 1),
        ("max_trained_tokens=1", 1),
        ("max_flops=1000000000.0", 1),
        ("max_seconds=2.0", 2),
    ],
)
def test_a_budget_spent_before_the_checkpoint_is_refused(
    training: FakeTraining, stopped: Path, limit: str, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["train", f"resume={stopped}", f"budget.{limit}"]) == 2
    assert f"budget.{limit}: {stopped} reached this limit after step {step} " in capsys.readouterr().err
    assert training.calls == []


def test_a_note_of_a_killed_process_on_another_host_is_no_lock(training: FakeTraining, tmp_path: Path) -> None:
    run_dir = resumable(training, tmp_path)
    mark = {"host": "old-container", "pid": 7, "started": 1.0, "pid_namespace": "pid:[1]"}
    (run_dir / ".lock.json").write_text(json.dumps(mark))
    assert main(["train", f"resume={run_dir}"]) == 0
    assert len(training.calls) == 1


def test_the_next_command_puts_a_killed_run_right(training: FakeTraining, tmp_path: Path) -> None:
    run_dir = resumable(training, tmp_path)
    record = json.loads((run_dir / "run.json").read_text())
    # what kill -9 leaves: RUNNING, and a process that started at another time than this one
    (run_dir / "run.json").write_text(json.dumps(record | {"status": "RUNNING", "pid_started": 1.0}))
    assert main(["train", "--check"]) == 0
    assert json.loads((run_dir / "run.json").read_text())["status"] == "KILLED"
