"""A run knows what it was made of, from its first step to its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from igrpo.runs.fingerprints import Fingerprints, read_fingerprints
from tests.assembly.parts import write_model, write_problems
from tests.begun import begun_sweep
from tests.end_to_end import runs

pytestmark = pytest.mark.slow

REWARD = """
from igrpo.types import Score

class Mine:
    name = "mine"

    async def score(self, question, completions):
        return [Score(len(one.text) % 3 / 2, one.text == question.answer, "wrong", None) for one in completions]

    def close(self):
        pass
"""


def arguments(folder: Path, name: str, *overrides: str) -> list[str]:
    """Of a run of two steps of a very small model."""
    return [
        "train", f"hydra.run.dir={folder / name}", "experiment=math_local", "trainer.steps=2", "checkpoint.every=1",
        f"data.path={folder / 'problems.jsonl'}", "data.development=0.2", "data.test=0.2", "tracking=none",
        "data.decontamination.method=off", "model=huggingface", f"model.name_or_path={folder / 'model'}", "sampling.max_completion_tokens=64", "evaluation.questions=4",
        "evaluation.samples=1", "trainer.questions_per_step=2", "completions_per_question=4", *overrides,
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with problems and a model in it."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model")
    write_problems(tmp_path / "problems.jsonl", 40)
    return tmp_path


def kept(run_dir: Path) -> Fingerprints:
    found = read_fingerprints(run_dir / "fingerprints.json")
    assert found is not None
    return found


def test_changed_data_stop_a_resume_and_a_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.run_here(arguments(folder, "grpo", "algorithm=grpo"))
    assert runs.summary(folder / "grpo")["fingerprints"] == kept(folder / "grpo").short()
    assert "===== prompt.refinement" in (folder / "grpo" / "prompts.txt").read_text()
    original = (folder / "problems.jsonl").read_text()
    before = {path: path.read_bytes() for path in (folder / "grpo").rglob("*") if path.is_file()}

    lines = [json.loads(line) for line in original.splitlines()]
    changed = [{**line, "answer": "0"} for line in lines]
    (folder / "problems.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
    runs.run_here(["train", f"resume={folder / 'grpo'}", "trainer.steps=3"], code=1)
    message = capsys.readouterr().err
    for words in (str(folder / "grpo"), "train split has other answers", "test split has other answers", "data"):
        assert words in message
    after = {path: path.read_bytes() for path in (folder / "grpo").rglob("*") if path.is_file()}
    assert {path.name for path in after if after[path] != before.get(path)} <= {"log.txt", ".lock.json"}

    runs.run_here(arguments(folder, "igrpo"))
    capsys.readouterr()
    report = ["report", str(folder / "grpo"), str(folder / "igrpo"), "--out", str(folder / "report")]
    runs.run_here(report, code=2)
    assert "--allow-different questions" in capsys.readouterr().err
    runs.run_here([*report, "--allow-different", "questions"])

    (folder / "problems.jsonl").write_text(original)
    runs.run_here(["train", f"resume={folder / 'grpo'}", "trainer.steps=3"])
    assert runs.summary(folder / "grpo")["steps"] == 3


def test_a_changed_reward_file_is_warned_of_and_the_run_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "reward_of_mine.py").write_text(REWARD)
    runs.run_here(arguments(folder, "run", "reward=python", "reward.target=reward_of_mine:Mine"))
    runs.run_here(["train", f"resume={folder / 'run'}", "trainer.steps=3"])
    assert "has changed since" not in (folder / "run" / "log.txt").read_text()
    (folder / "reward_of_mine.py").write_text(REWARD.replace("% 3", "% 2"))
    capsys.readouterr()
    runs.run_here(["train", f"resume={folder / 'run'}", "trainer.steps=4"])
    assert "reward has changed since" in capsys.readouterr().out
    assert [(one.step, one.what) for one in kept(folder / "run").changes] == [(3, "reward (reward_of_mine.py)")]


def test_two_processes_keep_and_check_fingerprints_as_one_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.run_here(arguments(folder, "one"))
    runs.run_here(arguments(folder, "two", "trainer.strategy=ddp", "trainer.devices=2"))
    assert kept(folder / "two") == kept(folder / "one")
    write_problems(folder / "problems.jsonl", 39)
    capsys.readouterr()
    runs.run_here(["train", f"resume={folder / 'two'}", "trainer.steps=3"], code=1)
    message = capsys.readouterr().err
    assert message.count("have changed since it began") == 1
    assert runs.status(folder / "two") == "FINISHED"


def test_a_template_that_asks_for_the_date_gets_the_sweeps(folder: Path) -> None:
    template = folder / "model" / "chat_template.jinja"
    template.write_text("{{ strftime_now('%d %b %Y') }}: " + template.read_text())
    sweep = begun_sweep(folder / "sweep")
    sweep.write(sweep.read().model_copy(update={"created": "2001-02-03T04:05:06+00:00"}))
    runs.run_here(arguments(folder, "sweep/run"))
    prompts = (folder / "sweep" / "run" / "prompts.txt").read_text()
    assert prompts.count("03 Feb 2001: ") == 5
    sweep.record_file.unlink()  # whatever becomes of the sweep, the run keeps its date
    runs.run_here(["train", f"resume={folder / 'sweep' / 'run'}", "trainer.steps=3"])
    assert "since the run began" not in (folder / "sweep" / "run" / "log.txt").read_text()
    assert (folder / "sweep" / "run" / "prompts.txt").read_text() == prompts
    assert kept(folder / "sweep" / "run").date == "2001-02-03"
