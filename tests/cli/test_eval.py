"""`igrpo eval` on a small trained run: its numbers, its directory, its errors, and how it goes on."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from igrpo.cli.main import main
from igrpo.evaluation.store import read_samples
from igrpo.runs.evaluation_directory import EvaluationDirectory
from igrpo.tools.evaluating.printing import print_request
from igrpo.tools.evaluating.request import new_request
from tests.evaluated import rounded
from tests.trained_runs import trained_run

#: Greedy, refined and by an oracle: every kind of sample. The questions are two, at 4 tokens or so.
KINDS = ("evaluation.samples=2", "evaluation.greedy=true", "evaluation.oracle_drafts=2")


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return trained_run(*KINDS)


def evaluate(*arguments: object, code: int = 0) -> EvaluationDirectory:
    """Evaluate in the folder 'eval'."""
    output = () if any(str(text).startswith("resume=") for text in arguments) else ("--out", "eval")
    assert main(["eval", *map(str, arguments), *output]) == code
    return EvaluationDirectory(Path("eval"))


def result(of: EvaluationDirectory, name: str = "test") -> dict[str, float]:
    return dict(of.read_results().benchmarks[name].metrics)


def benchmark(folder: Path, questions: int = 3) -> str:
    """The setting of a benchmark from a file of chains."""
    path = folder / "problems.jsonl"
    rows = [{"q": f"{i}+2*3", "a": str((i + 6) % 10)} for i in range(questions)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    fields = "{id: null, problem: q, answer: a, answer_form: plain}"
    return (
        f"+evaluation.benchmarks.mine={{dataset: '{path}', subset: null, revision: null, split: train, "
        f"fields: {fields}, samples: 2}}"
    )


@pytest.mark.parametrize("checkpoint", ["last", "start"])
def test_it_measures_what_the_run_has_measured(run_dir: Path, checkpoint: str) -> None:
    """The same code and seeds: bit by bit, after training and before."""
    step = {"last": 2, "start": 0}[checkpoint]
    of = evaluate(run_dir, "--checkpoint", checkpoint)
    kept = json.loads((run_dir / "evaluations" / f"test-{step:06d}.json").read_text())
    found = result(of)
    for name in ("single_shot", "greedy", "draft_conditioned", "draft_conditioned_oracle"):
        assert (found[f"{name}/accuracy"], found[f"{name}/low"]) == (kept[name]["value"], kept[name]["low"])
    assert found["generated_tokens"] == kept["generated_tokens"]
    assert found["answer/entropy"] == kept["answer_entropy"]
    record = of.read_record()
    assert (record.model.step, record.measured, record.seed) == (step, "test", 0)
    assert record.benchmarks["test"].kinds == {
        "single_shot": 2, "greedy": 1, "draft_conditioned": 2, "draft_conditioned_oracle": 1,
    }  # fmt: skip
    assert len(read_samples(of.samples("test"))) == 2 * 6


def test_the_directory_and_the_table(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = evaluate(run_dir)
    out = capsys.readouterr().out
    for text in ("test split", "questions", "2 x 2", "mean@k", "pass@k", "trun-", "greedy", "draft-conditioned"):
        assert text in out
    assert "test  12/12" in out, "a line per tenth where nothing is redrawn"
    assert "results:  eval/result.json" in out
    assert {path.name for path in of.path.iterdir() if not path.name.startswith(".")} >= {
        "eval.json", "config.yaml", "result.json", "samples", "questions", "log.txt",
    }  # fmt: skip
    values = json.loads(of.result.read_text())
    assert (values["complete"], values["protocol"]) == (True, 1)
    questions = [json.loads(line) for line in of.questions("test").read_text().splitlines()]
    assert {sample.question for sample in read_samples(of.samples("test"))} == {one["id"] for one in questions}
    assert evaluate(f"resume={of.path}").read_results().complete
    out = capsys.readouterr().out
    assert out.startswith("eval is complete: these are its results, and nothing was measured again\n")
    assert "mean@k" in out
    assert main(["eval", str(run_dir), "--out", "eval"]) == 2
    assert "--out=" in capsys.readouterr().err


def test_benchmarks_of_the_settings(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = evaluate(run_dir, benchmark(tmp_path), "--questions", 2)
    assert list(of.read_results().benchmarks) == ["mine"]
    record = of.read_record().benchmarks["mine"]
    assert (record.rows, record.questions, record.samples, record.kinds) == (3, 2, 2, {"single_shot": 2})
    assert "mine: 2 of 3 questions were evaluated" in capsys.readouterr().out


def test_a_file_is_enough_for_a_benchmark_of_ones_own(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"problem": "1+2*3", "answer": "7"}, {"problem": "Which?", "answer": "3"}]
    Path("mine.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    of = evaluate(run_dir, "+evaluation.benchmarks.mine.dataset=mine.jsonl")
    record = of.read_record().benchmarks["mine"]
    assert (record.questions, record.samples) == (2, 8)
    assert "does not see all of 1 of 2 problems" in " ".join(capsys.readouterr().out.split())


def test_what_a_file_of_evaluation_changes_is_said(run_dir: Path) -> None:
    # the run has questions=2 samples=2 greedy=true oracle_drafts=2; the file those of conf/evaluation/default.yaml
    asked = new_request(str(run_dir), ["evaluation=test_time", "evaluation.samples=3"], None, None)
    assert asked.replaced == ("questions 2 -> 256", "greedy true -> false", "oracle_drafts 2 -> 0")
    console = Console(width=200, record=True, file=io.StringIO())
    print_request(asked, Path("eval"), console)
    assert (
        "questions 2 -> 256, greedy true -> false, oracle_drafts 2 -> 0; to keep one, add evaluation.SETTING"
        in console.export_text()
    )
    assert new_request(str(run_dir), ["evaluation.samples=3"], None, None).replaced == ()


def test_an_exported_model_is_evaluated_with_its_own_prompts(run_dir: Path, tmp_path: Path) -> None:
    assert main(["export", str(run_dir), "--out", "model"]) == 0
    of = evaluate("model", benchmark(tmp_path))
    record, of_run = of.read_record(), EvaluationDirectory(tmp_path / "other")
    assert main(["eval", str(run_dir), benchmark(tmp_path), "--out", "other"]) == 0
    assert record.prompt == of_run.read_record().prompt
    assert record.model.weights == of_run.read_record().model.weights
    assert (record.model.source, record.model.step) == ("directory", 2)
    assert result(of, "mine") == result(of_run, "mine")


def test_resuming_draws_what_is_missing_and_nothing_else(run_dir: Path) -> None:
    of = evaluate(run_dir)
    whole, lines = result(of), of.samples("test").read_bytes().splitlines(keepends=True)
    rows = read_samples(of.samples("test"))
    of.result.unlink()
    of.samples("test").write_bytes(b"".join(lines[:5]) + lines[5][:20])
    evaluate(f"resume={of.path}")
    assert of.samples("test").read_bytes().startswith(b"".join(lines[:5]))
    assert rounded(read_samples(of.samples("test"))) == rounded(rows)
    assert result(of) == pytest.approx(whole, rel=1e-5)


def test_the_order_in_which_samples_ended_changes_no_number(run_dir: Path) -> None:
    of = evaluate(run_dir)
    whole = of.read_results().benchmarks
    lines = of.samples("test").read_bytes().splitlines(keepends=True)
    of.samples("test").write_bytes(b"".join(reversed(lines)))
    of.result.unlink()
    evaluate(f"resume={of.path}")
    assert of.read_results().benchmarks == whole


def test_samples_of_another_seed_are_refused(begun: EvaluationDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    text = begun.samples("test").read_text()
    seed = json.loads(text.splitlines()[0])["seed"]
    begun.samples("test").write_text(text.replace(f'"seed": {seed},', '"seed": 3,'))
    evaluate(f"resume={begun.path}", code=1)
    assert "is not of this evaluation: it was drawn with another seed (3)" in capsys.readouterr().err


def silent(question: Any, completions: Any) -> list[None]:
    """A reward that scores nothing."""
    return [None for _ in completions]


def test_without_scores_nothing_is_said_to_be_right_or_wrong(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = evaluate(run_dir, "reward=python", f"reward.target={__name__}:silent")
    out = capsys.readouterr().out
    assert "test  12/12" in out
    assert "right" not in out
    assert "Calibration" not in of.validity.read_text()
    assert "single_shot/accuracy" not in result(of)
    assert main(["eval", str(run_dir), "reward=python", f"reward.target={__name__}:silent", "--out", "other"]) == 0
    assert main(["eval", "eval", "--against", "other"]) == 2
    assert "has no accuracy on test: its reward could score no sample" in capsys.readouterr().err


@pytest.fixture
def begun(run_dir: Path) -> EvaluationDirectory:
    """An evaluation without its last samples and its result."""
    of = evaluate(run_dir)
    of.result.unlink()
    of.samples("test").write_bytes(b"".join(of.samples("test").read_bytes().splitlines(keepends=True)[:4]))
    return of


def test_a_changed_model_is_refused(
    begun: EvaluationDirectory, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = begun.samples("test").read_bytes()
    record: dict[str, Any] = json.loads(begun.record_file.read_text())
    record["model"]["weights"] = "0123456789abcdef"
    begun.record_file.write_text(json.dumps(record))
    evaluate(f"resume={begun.path}", code=1)
    error = capsys.readouterr().err
    assert "what is measured has changed since the evaluation began: model.weights was 0123456789abcdef and is" in error
    assert begun.samples("test").read_bytes() == kept


def test_a_benchmark_that_changed_is_refused(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = evaluate(run_dir, benchmark(tmp_path))
    of.result.unlink()
    (tmp_path / "problems.jsonl").write_text((tmp_path / "problems.jsonl").read_text().replace('"6"', '"7"'))
    evaluate(f"resume={of.path}", code=1)
    error = capsys.readouterr().err
    assert "benchmarks.mine.digest.answers was" in error
    assert "digest.problems" not in error


def test_resuming_takes_no_other_settings(begun: EvaluationDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["seed=1"], "seed=1: resuming may not change what is measured"),
        (["--questions", "1"], "an evaluation is resumed as it was begun"),
        (["runs/x"], "an evaluation is resumed as it was begun"),
    ):
        evaluate(f"resume={begun.path}", *arguments, code=2)
        assert message in capsys.readouterr().err
    evaluate(f"resume={begun.path}", "trainer.device=cpu")


def test_ctrl_c_says_how_to_go_on(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from igrpo.evaluation.store import SampleFile

    add, calls = SampleFile.add, []

    def interrupted(self: SampleFile, samples: Any) -> None:
        add(self, samples)
        calls.append(samples)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SampleFile, "add", interrupted)
        of = evaluate(run_dir, code=130)
    assert "igrpo: interrupted; resume with: igrpo eval resume=eval\n" in capsys.readouterr().err
    assert not of.result.exists()
    kept = len(read_samples(of.samples("test")))
    assert 0 < kept < 12
    assert main(["eval", f"resume={of.path}"]) == 0
    assert f"test: 12 samples, {kept} kept" in capsys.readouterr().out


def test_a_held_evaluation_is_refused(begun: EvaluationDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    from igrpo.runs.run_lock import run_lock

    with run_lock(begun.path):
        evaluate(f"resume={begun.path}", code=1)
    assert "is in use by" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "model=tiny"], "model=tiny: not a setting of the evaluation of a run (only evaluation, rollout"),
        (["RUN", "evaluation=papr"], "did you mean 'evaluation=paper'?"),
        (["RUN", "evaluation.sampels=3"], "did you mean 'evaluation.samples'?"),
        (["RUN", "evaluation.samples=0"], "evaluation.samples=0: input should be greater than 0"),
        (["RUN", "seed=0,1"], "seed=0,1: several values; give one"),
        (["RUN", f"prompt.nosuch={'x' * 400}"], "prompt.nosuch"),
        (["RUN", "seed"], "give one run directory or model"),
        (["RUN", "reward=python"], "reward.target: missing"),
        (["RUN", "--questions", "0"], "at least 1"),
        (["RUN", "--checkpoint", "7"], "--checkpoint 7: "),
        (["nothing/is/here"], "nothing/is/here is no run directory"),
        ([], "give a run directory or a model"),
        (["resume="], "resume: give one directory"),
        (["resume=nothing"], "nothing is not the directory of an evaluation: it has no eval.json"),
        (["MODEL"], "is a model, which has no test split: give benchmarks"),
        (["MODEL", "--checkpoint", "last"], "--checkpoint last: "),
        (["ADAPTER"], "contains only adapters"),
        (["EVAL"], "is an evaluation; to continue it: igrpo eval resume="),
    ],
)
def test_mistakes(
    arguments: list[str], message: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, file in {"MODEL": "config.json", "ADAPTER": "adapter_config.json", "EVAL": "eval.json"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
    given = [str(run_dir) if text == "RUN" else text for text in arguments]
    assert main(["eval", *given]) in {1, 2}
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    shutil.rmtree(tmp_path / "evals", ignore_errors=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "7"], "keeps no such one; known here: best, last, start, 1, 2"),
        (["WRONG"], "is not the data set that was expected by"),
    ],
)
def test_what_fails_before_the_first_sample_leaves_no_directory(
    arguments: list[str], message: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [benchmark(tmp_path).removesuffix("}") + ", rows: 4}"]
    evaluate(run_dir, *(wrong if arguments == ["WRONG"] else arguments), code=1)
    error = capsys.readouterr().err
    assert message in error
    assert "details" not in error, "the log is gone"
    assert not Path("eval").exists()


def test_an_error_without_a_clear_reason_keeps_its_log(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from igrpo.tools.evaluating import evaluation

    def broken(*_: Any) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(evaluation, "load_model", broken)
    of = evaluate(run_dir, code=1)
    assert "RuntimeError: no memory\n  details: eval/log.txt" in capsys.readouterr().err
    assert "Traceback" in of.log.read_text()
