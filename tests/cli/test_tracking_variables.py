"""MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME: where runs are tracked unless their settings say otherwise."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from igrpo.cli.main import main
from igrpo.config import read_config
from igrpo.config.composing.composer import Composer
from igrpo.runs.resume import resumed_config
from igrpo.runs.sweep_directory import SweepDirectory
from igrpo.sweeps.sweep import _write_plan
from tests.cli.conftest import FakeTraining

URI, NAME = "http://127.0.0.1:1", "all [my] runs: 'a, b'"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", NAME)


def tracking(*overrides: str) -> tuple[str | None, str]:
    with Composer("train") as composer:
        config = composer.check_run(overrides).config
    return config.tracking.uri, config.tracking.experiment


def test_they_are_the_defaults_and_a_setting_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking() == (URI, NAME)
    assert tracking("tracking.uri=sqlite:///a.db", "tracking.experiment=b") == ("sqlite:///a.db", "b")
    assert tracking("tracking.uri=null")[0] is None
    assert tracking("tracking=none")[0] is None
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "")
    assert tracking() == ("sqlite:///mlflow.db", "igrpo chains")
    assert tracking("experiment=times_tables")[1] == "igrpo times_tables"


def test_a_preset_of_the_user_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    text = "# @package _global_\ntracking:\n  uri: sqlite:///mine.db\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert tracking("experiment=mine") == ("sqlite:///mine.db", NAME)


def test_a_run_stores_them_resolved_and_keeps_its_own(
    training: FakeTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert URI in text
    assert "${" not in text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:2")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    config = resumed_config(tmp_path / "run", [])
    assert (config.tracking.uri, config.tracking.experiment) == (URI, NAME)
    other = resumed_config(tmp_path / "run", ["tracking.uri=sqlite:///b.db"])
    assert other.tracking.uri == "sqlite:///b.db"


def test_the_runs_of_a_sweep_store_them(
    training: FakeTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/a.db")
    arguments = ["train", "--multirun", "seed=0,1", "--no-measure", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    main(arguments)
    sweep = SweepDirectory(tmp_path / "sweep")
    record = sweep.read()
    assert (record.tracking_uri, record.experiment) == (f"sqlite:///{tmp_path}/a.db", NAME)
    for cell in record.cells:
        config = read_config(sweep.run_directory(cell).config)
        assert (config.tracking.uri, config.tracking.experiment) == (record.tracking_uri, NAME)


def test_a_sweep_over_data_sets_has_one_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    overrides = ["model=byte_level", "prompt=boxed", "data=chains,times_tables"]
    with Composer("train") as composer:
        planned = composer.check_sweep(overrides, None)
    sweep = SweepDirectory(tmp_path)
    record = _write_plan(sweep, planned, overrides)
    configs = [read_config(sweep.run_directory(cell).config) for cell in record.cells]
    assert [config.data.name for config in configs] == ["chains", "times_tables"]
    assert {config.tracking.experiment for config in configs} == {record.experiment}


def test_a_resumed_sweep_changes_what_each_run_has(training: FakeTraining, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    judge = ("reward.base_url=http://127.0.0.1:1/v1", "reward.model=m", "reward.max_cost=1", "tracking=none")
    prices = ("reward.input_price=1", "reward.output_price=1")
    grid = ("reward=judge,math_verify", *judge, *prices, "--no-measure", f"hydra.sweep.dir={folder}")
    main(["train", "--multirun", *grid])
    main(["train", f"resume={folder}", "reward.max_cost=9", "trainer.steps=90"])
    sweep = SweepDirectory(folder)
    first, second = (read_config(sweep.run_directory(cell).config) for cell in sweep.read().cells)
    assert (first.reward.model_dump()["max_cost"], first.trainer.steps, second.trainer.steps) == (9, 90, 90)
    assert main(["train", f"resume={folder}", "reward.max_kost=9"]) == 2


def test_a_report_looks_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///gone.db")
    assert main(shlex.split("report --mlflow ''")) == 2
    assert "sqlite:///gone.db" in capsys.readouterr().err
