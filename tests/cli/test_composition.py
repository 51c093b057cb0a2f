"""`igrpo train --cfg` and `--info` print what Hydra composes, and start nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import yaml

from igrpo.cli.main import main


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    handlers = list(logging.getLogger().handlers)
    assert main(["train", *arguments]) == 0
    assert logging.getLogger().handlers == handlers
    assert list(Path.cwd().iterdir()) == []
    return capsys.readouterr().out


def test_the_settings_of_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    values = yaml.safe_load(printed(capsys, "--cfg", "job", "experiment=quickstart", "trainer.steps=7"))
    assert values["trainer"]["steps"] == 7
    assert values["run_name"] == "quickstart-${condition}-s${seed}"
    assert "hydra" not in values


def test_a_part_of_the_settings_with_interpolations_resolved(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "-c", "job", "--package", "algorithm", "--resolve", "completions_per_question=6")
    assert text.startswith("# @package algorithm\n")
    assert yaml.safe_load(text)["drafts"] == 3


def test_hydras_own_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert yaml.safe_load(printed(capsys, "--cfg", "hydra", "-p", "hydra.job"))["chdir"] is False
    assert {"trainer", "hydra"} < set(yaml.safe_load(printed(capsys, "--cfg", "all")))


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (["--info", "searchpath"], "mount://"),
        (["--info", "defaults"], "| trainer/cpu "),
        (["--info", "defaults-tree", "algorithm=grpo"], "algorithm: grpo"),
        (["--info", "config"], "completions_per_question: 8"),
        (["-i"], "Installed Hydra Plugins"),
    ],
)
def test_where_the_settings_come_from(what: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert text in printed(capsys, *what)


@pytest.mark.parametrize("asked", [["--cfg", "job"], ["--info", "defaults"]])
def test_wrong_settings_are_an_error_in_one_line(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *asked, "algorithm=igrop"]) == 2
    assert "did you mean 'algorithm=igrpo'?" in capsys.readouterr().err


def test_a_value_that_cannot_be_resolved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "job", "--resolve", "run_name=${data.pth}"]) == 2
    assert "run_name: ${data.pth} cannot be resolved" in capsys.readouterr().err


def test_the_settings_of_a_resumed_run_are_in_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "job", "resume=runs/a"]) == 2
    assert "runs/a/config.yaml" in capsys.readouterr().err


def test_what_is_for_cfg_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for alone in (["--resolve"], ["--package", "trainer"]):
        assert main(["train", *alone]) == 2
        assert f"{alone[0]} is for --cfg" in capsys.readouterr().err
