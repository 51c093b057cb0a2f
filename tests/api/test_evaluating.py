"""`igrpo.evaluate`: the numbers of the command line, in a script, a thread and an event loop; resume and errors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import igrpo
from igrpo.cli.main import main
from igrpo.evaluation.store import SampleFile
from tests.trained_runs import trained_run


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_its_numbers_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    run = igrpo.Run.load(trained_run())
    capsys.readouterr()
    found = igrpo.evaluate(run, "evaluation.samples=2", checkpoint="best", directory="api", quiet=True)
    assert capsys.readouterr().out == ""
    assert main(["eval", str(run.directory), "evaluation.samples=2", "--checkpoint", "best", "--out", "cli"]) == 0
    assert "mean@k" in capsys.readouterr().out
    other = igrpo.Evaluation.load("cli")
    assert found.metrics == other.metrics
    assert "test/single_shot/accuracy" in found.metrics
    assert found.samples("test") == other.samples("test")
    rows = found.rows("test")
    assert [(row["question"], row["correct"], row["outcome"]) for row in rows] == [
        (sample.question, sample.score.correct, sample.score.outcome) for sample in found.samples("test")
    ]
    assert not any(isinstance(value, dict) for row in rows for value in row.values())
    assert found.complete
    assert found.record.model == other.record.model
    assert found.record.command[:2] == ("igrpo.evaluate", str(run.directory))
    assert repr(found) == f"Evaluation('api', test={found.metrics['test/single_shot/accuracy']:.3f})"
    assert "<th>test</th>" in found._repr_html_()
    with pytest.raises(ValueError, match="'mine' has no samples in api"):
        found.samples("mine")


def test_in_an_event_loop_with_the_default_directory() -> None:
    async def inside() -> igrpo.Evaluation:
        return igrpo.evaluate(trained_run(), checkpoint=1, questions=1, quiet=True)

    found = asyncio.run(inside())
    assert found.directory.parent.parent == Path.cwd() / "evals"
    assert found.record.model.step == 1
    assert found.benchmarks["test"].questions == 1
    assert igrpo.evaluate(resume=found) == found


def test_a_complete_one_takes_further_checks() -> None:
    found = igrpo.evaluate(trained_run(), questions=1, quiet=True)
    drawn = found.samples("test")
    again = igrpo.evaluate(None, ["evaluation.sensitivity.temperatures=[0]"], resume=found, quiet=True)
    assert set(again.benchmarks["test"].validity["sensitivity"]) == {"temperature"}
    assert again.samples("test")[: len(drawn)] == drawn


def test_an_error_keeps_the_samples_and_resume_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    add = SampleFile.add

    def broken(self: SampleFile, samples: Any) -> None:
        add(self, samples)
        raise OSError("the disk is gone")

    run_dir = trained_run()
    with monkeypatch.context() as patch:
        patch.setattr(SampleFile, "add", broken)
        with pytest.raises(OSError, match="the disk is gone"):
            igrpo.evaluate(run_dir, directory="eval", quiet=True)
    kept = igrpo.Evaluation.load("eval").samples("test")
    found = igrpo.evaluate(resume="eval", quiet=True)
    assert found.complete
    assert found.samples("test")[: len(kept)] == kept


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ({}, [], "give a model, or resume=DIRECTORY alone"),
        ({"resume": "eval", "questions": 2}, [], "give a model, or resume=DIRECTORY alone"),
        ({"model": "x/y/z"}, [], "x/y/z is no run directory"),
        ({"model": "RUN", "questions": 0}, [], "questions=0: give at least 1"),
        ({"model": "RUN"}, ["model=tiny"], "model=tiny: not a setting of the evaluation of a run"),
        ({"model": "RUN"}, [["model=tiny"]], "model=tiny: not a setting of the evaluation of a run"),
        ({"model": "RUN"}, [{"seed": 1}], r"\{'seed': 1\} is no setting: give texts such as"),
        ({"model": "RUN"}, [["seed=1", 2]], "2 is no setting: give texts such as"),
    ],
)
def test_mistakes(arguments: dict[str, Any], settings: list[Any], message: str) -> None:
    model = arguments.pop("model", None)
    with pytest.raises(ValueError, match=message):
        igrpo.evaluate(trained_run() if model == "RUN" else model, *settings, **arguments)
    assert not Path("evals").exists()
