"""`igrpo doctor` from the command line: exit codes, flags, and that it leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from igrpo.cli.doctor import parser
from igrpo.cli.main import main
from tests.assembly.parts import write_problems

LARGE = (
    "model=qwen2_5_7b", "prompt=think_answer", "data=jsonl", "data.path=x", "trainer=single", "rollout=vllm_server",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")


def test_a_run_that_works(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write_problems(tmp_path / "problems.jsonl")
    before = dict(os.environ)
    assert main(["doctor", "experiment=math_local", f"data.path={path}"]) == 0
    page = capsys.readouterr().out
    for words in (
        "memory of each process on the CPU",
        "iGRPO (this run)",
        "rollout",
        "nothing is known that would fail",
    ):
        assert words in page
    assert "GPU-hours" not in page  # on the CPU no time is modelled
    assert [item.name for item in tmp_path.iterdir()] == ["problems.jsonl"]
    assert dict(os.environ) == before


def test_a_run_that_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *LARGE, "--memory", "80", "--no-load"]) == 1
    page = capsys.readouterr().out
    assert "does not fit 80" in page
    assert "without --no-load" in " ".join(page.split())
    assert "with more devices: trainer.strategy=fsdp2 trainer.devices=8" in page
    assert "with adapters: lora=rank_16" in page
    assert "this would fail: see above" in page
    # the advice, followed
    assert main(["doctor", *LARGE, "--memory=80", "--no-load", "trainer.strategy=fsdp2", "trainer.devices=8"]) == 0


def test_what_is_missing_here_is_no_failure_of_the_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("igrpo.tools.doctor.static_checks.find_spec", lambda name: None)
    assert main(["doctor", *LARGE, "--memory=800", "--no-load"]) == 0
    page = capsys.readouterr().out
    assert "missing here" in page
    assert "nothing is known that would fail, once" in page


def test_a_check_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *LARGE, "--memory=800", "--no-load", "rollout.tensor_parallel=8"]) == 1
    assert "does not divide the model's 28 query heads" in capsys.readouterr().out


def test_completions_too_short_to_think_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    fitting = (*LARGE, "--memory=800", "--no-load")
    assert main(["doctor", *fitting]) == 0
    assert "short completions" not in capsys.readouterr().out
    assert main(["doctor", *fitting, "sampling.max_completion_tokens=64"]) == 0
    assert "short completions: prompt=think_answer asks for <think>" in capsys.readouterr().out


def test_nothing_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *LARGE, "--memory=2", "--no-load"]) == 1
    assert "no change that is known here makes it fit" in capsys.readouterr().out


def test_a_model_whose_sizes_are_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["model=huggingface", "model.name_or_path=nobody/nothing", *LARGE[1:]]
    assert main(["doctor", *settings, "--memory=80", "--no-load"]) == 0
    assert "the sizes of this model are not listed here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["modl=tiny"], "did you mean"),
        (["--memry", "80"], "--memry: no such option; did you mean '--memory'?"),
        (["--memory", "much"], "--memory: give a number above 0, not 'much'"),
        (["--memory"], "--memory: expected one argument"),
        (["--mean-tokens=1.5"], "--mean-tokens: give a whole number of at least 1, not '1.5'"),
        (["--draft-seconds=0"], "--draft-seconds: give a number above 0, not '0'"),
        (["--device", "b9000"], "--device: invalid choice: 'b9000' (choose from 'a100', 'h100', 'h200'"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_options_and_settings_are_told_apart() -> None:
    given = (
        "seed=1 --memory 24 --device=h200 --mean-tokens 500 --server-devices=8 --draft-seconds=2.5 --load model=tiny"
    )
    asked = parser().parse(given.split())
    assert asked.settings == ["seed=1", "model=tiny"]
    assert (asked.memory, asked.device, asked.mean_tokens, asked.server_devices) == (24.0, "h200", 500, 8)
    assert (asked.draft_seconds, asked.load, asked.no_load) == (2.5, True, False)
