"""What `igrpo train` makes, prints and returns, in each of its endings."""

import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from igrpo.cli.main import main
from igrpo.config import RunConfig, read_config
from igrpo.runs.execution import resume_point
from igrpo.runs.lifecycle import Terminated
from tests.cli.conftest import FakeTraining
from tests.composed import config


def only_run(root: Path) -> Path:
    (run,) = root.glob("runs/*/*")
    return run


def test_a_run_from_its_settings_to_its_summary(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training.behave = lambda config: {
        "single_shot": {"before": 0.1, "after": 0.5},
        "tracking": {"run_link": "http://x"},
    }
    assert main(["train", "experiment=quickstart", "trainer.steps=3", "seed=7"]) == 0
    ((config, run_dir, resume),) = training.calls
    assert (config.trainer.steps, config.seed, resume) == (3, 7, False)
    assert run_dir == only_run(tmp_path)
    assert run_dir.name.endswith("_quickstart-igrpo-s7")
    assert read_config(run_dir / "config.yaml") == config
    assert {path.name for path in (run_dir / ".hydra").iterdir()} == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    out = capsys.readouterr().out
    for text in ("what the settings resolve to", "clipping is inert", "10.0 %", "50.0 %", "+40.0 points"):
        assert text in out
    assert f"{run_dir.relative_to(tmp_path)} (its config.yaml has every setting)" in out
    assert "├──" not in out
    assert f"Run directory:  {run_dir}" in out
    assert "http://x" in out


@pytest.mark.parametrize("flags", [["-v"], ["--verbose", "--check"], ["--check"], []], ids=" ".join)
def test_every_setting_and_fact_is_printed_if_asked_for(
    flags: list[str], training: FakeTraining, capsys: pytest.CaptureFixture[str]
) -> None:
    training.behave = lambda config: {}
    assert main(["train", "experiment=quickstart", *flags]) == 0
    out = capsys.readouterr().out
    is_verbose = bool({"-v", "--verbose"} & set(flags))
    assert len(training.calls) == ("--check" not in flags)
    for text in ("├── steps:", "tokens per micro-batch", "sequences per micro-batch"):
        assert (text in out) == is_verbose
    assert "completions per question 8 = 4 drafts + 4 refinements" in " ".join(out.split())


def test_wrong_settings_start_nothing_and_leave_no_directory(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in (["trainer.stpes=5"], ["-m", "seed=1,x"], ["resume=nowhere"], ["hydra.run.dir=${no}"]):
        assert main(["train", *given]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("igrpo: ")
        assert not {"Traceback", "HYDRA_FULL_ERROR"} & set(printed.err.split())
    assert training.calls == []
    assert list(tmp_path.iterdir()) == []


def test_check_shows_and_makes_nothing(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--check", "algorithm=grpo"]) == 0
    assert "8 answers" in capsys.readouterr().out
    assert main(["train", "--check", "-m", "seed=1,2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("run 0: seed=1\nrun 1: seed=2\n")
    assert "2 (1 combination, 2 seeds each)" in printed
    assert printed.endswith("2 runs, all of them checked\n")
    assert training.calls == []
    assert list(tmp_path.iterdir()) == []


def fail(error: BaseException) -> Any:
    def behave(config: RunConfig) -> None:
        raise error

    return behave


def test_a_user_error_is_one_line_and_the_log_has_the_rest(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training.behave = fail(ValueError("data.path=x: no such file"))
    assert main(["train"]) == 1
    log = only_run(tmp_path) / "log.txt"
    printed = capsys.readouterr()
    assert printed.err == f"igrpo: data.path=x: no such file\n  details: {log}\n"
    assert "Traceback" not in printed.out
    assert "Traceback (most recent call last)" in log.read_text()
    assert "ValueError: data.path=x: no such file" in log.read_text()


def test_another_error_names_its_kind(training: FakeTraining, capsys: pytest.CaptureFixture[str]) -> None:
    training.behave = fail(RuntimeError("out of memory"))
    assert main(["train"]) == 1
    assert capsys.readouterr().err.startswith("igrpo: RuntimeError: out of memory\n")


def lightnings_exit(config: RunConfig) -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise SystemExit(1)  # noqa: B904


def test_a_run_stopped_before_it_began_offers_no_resume(
    training: FakeTraining, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        sys.modules["igrpo.runs.training_run"], "train", interrupted
    )  # as while the libraries are being imported
    assert main(["train"]) == 130
    said = capsys.readouterr().err
    assert "resume=" not in said
    assert "had not started" in said


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (fail(KeyboardInterrupt()), 130),
        (lightnings_exit, 130),
        (fail(Terminated(signal.SIGHUP)), 129),
        (lambda config: os.kill(os.getpid(), signal.SIGTERM), 143),
    ],
)
def test_a_stopped_run_says_how_to_resume(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str], behave: Any, code: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    training.behave = behave
    assert main(["train"]) == code
    word = "interrupted" if code == 130 else "stopped"
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"igrpo: {word}; resume with: igrpo train resume={only_run(tmp_path)}"
    assert "no checkpoint yet (checkpoint.every=10)" in second
    assert "WARNING igrpo.runs.execution: stopped: ended by" in (only_run(tmp_path) / "log.txt").read_text()
    (only_run(tmp_path) / "checkpoints").mkdir()
    (only_run(tmp_path) / "checkpoints" / "step-000020.ckpt").touch()
    assert resume_point(config(None), only_run(tmp_path)).startswith("it continues after step 20")
    assert signal.getsignal(signal.SIGTERM) is before


def test_log_and_warnings(training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def behave(config: RunConfig) -> None:
        logging.getLogger("somebody").info("only in the file")
        logging.getLogger("somebody").warning("in both")
        warnings.warn("a python warning", stacklevel=1)

    training.behave = behave
    handlers = list(logging.getLogger().handlers)
    assert main(["train"]) == 0
    log, out = (only_run(tmp_path) / "log.txt").read_text(), capsys.readouterr().out
    assert "INFO somebody: only in the file" in log
    assert "WARNING somebody: in both" in log
    assert "a python warning" in log
    assert out.count("in both") == 1
    assert "only in the file" not in out
    assert logging.getLogger().handlers == handlers


def test_a_sweep_goes_on_after_a_failure(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def behave(config: RunConfig) -> None:
        if config.seed == 1:
            raise RuntimeError("lost")

    training.behave = behave
    assert main(["train", "--multirun", "--no-measure", "seed=1,2", "tracking=none"]) == 1
    assert [(config.seed, resume) for config, _, resume in training.calls] == [(1, False), (2, False)]
    (sweep,) = tmp_path.glob("multirun/*/*")
    made = {path.name for path in sweep.iterdir()} - {"report-error.txt"}  # the fake leaves no measurements
    assert sorted(made) == [".lock", ".lock.guard", "000-s1", "001-s2", "sweep.json"]
    printed = capsys.readouterr()
    assert "run 0 of 2: s1 ──" in printed.out
    assert printed.err.splitlines()[0] == "igrpo: RuntimeError: lost"
    log_file = sweep / "000-s1" / "log.txt"
    assert f"run 0 (s1) failed: lost; its log: {log_file}" in printed.out
    assert "run 1" not in printed.out.rpartition("its log")[2]
    assert "Traceback" not in printed.err
    assert "HYDRA_FULL_ERROR" not in printed.err
    assert "Traceback" in (sweep / "000-s1" / "log.txt").read_text()


def test_interrupting_a_sweep_ends_it(training: FakeTraining) -> None:
    training.behave = fail(KeyboardInterrupt())
    assert main(["train", "-m", "seed=1,2"]) == 130
    assert len(training.calls) == 1


def test_two_starts_in_one_second_get_directories_of_their_own(training: FakeTraining, tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    preset = "# @package _global_\nhydra:\n  run:\n    dir: runs/a/fixed\n"
    (tmp_path / "experiments" / "fixed.yaml").write_text(preset)
    for _ in range(2):
        assert main(["train", "experiment=fixed"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs" / "a").iterdir()) == ["fixed", "fixed_2"]
    assert len({run_dir for _, run_dir, _ in training.calls}) == 2


def test_a_chosen_directory_must_be_empty(
    training: FakeTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "it's [mine], {really} a=b"
    chosen = tmp_path / name
    chosen.mkdir()
    quoted = name.replace("'", "\\'")
    assert main(["train", f"hydra.run.dir='{quoted}'"]) == 0
    assert training.calls[0][1] == chosen
    assert main(["train", f"hydra.run.dir='{quoted}'"]) == 2
    assert f"{chosen}: contains files already" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["train", "hydra.run.dir=file/below"]) == 2
    assert "file/below: cannot be created (" in capsys.readouterr().err
    assert len(training.calls) == 1


@pytest.mark.parametrize("models", ["tiny", "tiny,byte_level"])
def test_a_sweep_does_not_start_with_a_model_that_cannot_be_loaded(
    models: str,
    training: FakeTraining,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("model.name_or_path=nowhere: it cannot be loaded")

    monkeypatch.setattr("igrpo.sweeps.step_time.measure_step", fails)
    training.behave = lambda config: {}
    code = main(["train", "experiment=quickstart", "-m", "seed=0,1", f"model={models}", "tracking=none"])
    printed = capsys.readouterr()
    if models == "tiny":  # the runs of the other sweep have another model, too, and may work
        assert code == 2
        assert "model.name_or_path=nowhere" in printed.err
        assert not training.calls
        assert not list(tmp_path.glob("multirun/*/*"))
    else:
        assert "run 0 cannot be measured" in printed.out
        assert len(training.calls) == 4
