"""`igrpo eval` says what could be wrong with its numbers, also when the checks are asked for later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from igrpo.cli.main import main
from igrpo.evaluation.store import SampleFile, read_samples
from igrpo.runs.evaluation_directory import EvaluationDirectory
from tests.trained_runs import trained_run


def test_checks_stand_beside_the_numbers_and_may_be_asked_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    of = EvaluationDirectory(tmp_path / "eval")
    assert main(["eval", str(trained_run("evaluation.samples=2")), "--out", "eval"]) == 0
    out = capsys.readouterr().out
    assert "by a stricter and" in out
    assert "what could be wrong:  eval/validity.md" in out
    before = of.read_results().benchmarks["test"]
    verdicts = json.loads(of.result.read_text())["benchmarks"]["test"]["validity"]["verdicts"]
    strict, lax = (verdicts[name]["accuracy"]["value"] for name in ("strict", "lax"))
    assert strict <= verdicts["main"]["value"] <= lax
    assert verdicts["main"]["value"] == before.metrics["single_shot/accuracy"]
    assert "### Verdicts" in of.validity.read_text()
    rows = of.samples("test").read_bytes()

    assert main(["eval", "resume=eval", "evaluation.sensitivity.temperatures=[0]"]) == 0
    assert "temperatures differ by" in capsys.readouterr().out
    assert of.samples("test").read_bytes().startswith(rows)  # nothing was drawn again
    added = read_samples(of.samples("test"))[len(rows.splitlines()) :]
    assert {sample.kind for sample in added} == {"sensitivity/temperature=0"}
    after = of.read_results().benchmarks["test"]
    assert after.metrics == pytest.approx(dict(before.metrics), rel=1e-5)
    assert set(after.validity["sensitivity"]["temperature"]["variants"]) == {"temperature=1", "temperature=0"}


def test_further_checks_are_added_to_earlier_ones_also_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    of = EvaluationDirectory(tmp_path / "eval")
    assert main(["eval", str(trained_run("evaluation.samples=2")), "--out", "eval"]) == 0
    assert main(["eval", "resume=eval", "evaluation.contamination.older=[test]"]) == 0
    add = SampleFile.add

    def killed(self: SampleFile, samples: Any) -> None:
        add(self, samples)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SampleFile, "add", killed)
        assert main(["eval", "resume=eval", "evaluation.sensitivity.temperatures=[0]"]) == 130
    assert not of.read_results().complete
    assert main(["eval", "resume=eval"]) == 0
    assert of.read_results().complete
    assert set(of.read_results().benchmarks["test"].validity["sensitivity"]) == {"temperature"}
    assert of.read_results().contamination is not None


def test_a_set_of_prompts_that_does_not_exist_is_an_error_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(trained_run("evaluation.samples=2"))
    assert main(["eval", run, "evaluation.sensitivity.prompts=[boxd]", "--out", "eval"]) == 2
    assert "did you mean 'prompt=boxed'?" in capsys.readouterr().err
    assert not (tmp_path / "eval").exists()
