"""The course of a table: what is lacking, what was begun before, and what is said when it stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from igrpo.cli.main import main
from igrpo.runs import execution
from igrpo.runs.command import as_part, recipe
from igrpo.runs.sweep_directory import SweepDirectory, plan_cell
from igrpo.tools.reproduce import session
from igrpo.tools.reproduce.grids import grid_overrides
from igrpo.tools.reproduce.request import read_request

FULL = ["reproduce", "table=fig3", "seed=0"]
QUICK = ["reproduce", "table=fig3", "quick=true", "seed=0", "tracking=none"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def test_a_table_says_what_this_machine_lacks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(FULL) == session.EXIT_LACKING == 69
    shown = capsys.readouterr()
    for words in (
        "what the runs need",
        "8 train, 8 serve",
        "GPU-hours together, of A100 80 GB",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    ):
        assert words in shown.out
    for words in (
        "igrpo: missing here: 8 CUDA devices on this machine, to train on; torch sees none",
        "igrpo: missing here: the model deepseek-ai/DeepSeek-R1-Distill-Qwen-7B is not on this machine",
        "igrpo: missing here: rollout.url is not set yet",
        "igrpo: nothing was run; igrpo reproduce table=fig3 quick=true runs on a CPU",
    ):
        assert words in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_plan_runs_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*QUICK, "--plan"]) == 0
    shown = capsys.readouterr().out
    for words in ("quick: the same pipeline on a small model", "run 1: condition=igrpo seed=0", "2 (2 combinations"):
        assert words in shown
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_other_settings_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    begun(tmp_path / "out", "trainer.steps=7")
    assert main([*QUICK, "--output", "out"]) == 2
    message = capsys.readouterr().err
    assert f"{tmp_path}/out/runs/tiny-entropy was begun with other settings (trainer.steps=7 differ)" in message
    assert "another --output" in message


def test_settings_of_the_machine_may_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun(tmp_path / "out", "tracking=none", "checkpoint.keep_last=1")
    run: list[str] = []
    monkeypatch.setattr(session, "run_grid", lambda planned: run.append(planned.grid.name) or 0)
    main([*QUICK, "--output", "out", "checkpoint.keep_last=2"])
    assert run == ["tiny-entropy"]


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_a_stop_names_the_command_that_continues(
    stop: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "run_grid", _raising(stop))
    assert main([*QUICK, "--output", "my out"]) == code
    again = "igrpo reproduce table=fig3 quick=true seed=0 tracking=none --output 'my out'"
    assert f"igrpo: stopped; nothing is lost, and the same command continues: {again}" in capsys.readouterr().err


def test_only_the_command_itself_says_how_to_continue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sweep and the run in it have been stopped, and would be resumed by commands of their own."""
    monkeypatch.setattr(execution, "attempt", _raising(KeyboardInterrupt()))
    assert main([*QUICK, "--output", "out"]) == 130
    error = capsys.readouterr().err
    assert "igrpo: interrupted\n" in error
    assert "igrpo: the sweep was stopped\n" in error
    assert "resume=" not in error
    assert error.count("the same command continues: ") == 1


def test_a_limit_that_has_to_be_raised_is_named_without_another_command() -> None:
    assert recipe("igrpo train resume=x", "reward.max_cost=MORE") == (
        "; resume with: igrpo train resume=x reward.max_cost=MORE"
    )
    assert recipe("igrpo train resume=x") == "; resume with: igrpo train resume=x"
    with as_part():
        assert recipe("igrpo train resume=x", "reward.max_cost=MORE") == "; it needs reward.max_cost=MORE"
        assert recipe("igrpo train resume=x") == ""


def test_a_table_whose_runs_failed_is_written_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(session, "run_grid", lambda planned: 1)
    assert main([*QUICK, "--output", "out"]) == 1
    shown = capsys.readouterr()
    assert "missing: tiny-entropy: not run" in shown.out
    assert "the table is not complete; the same command continues: igrpo reproduce" in shown.err
    assert "missing: tiny-entropy: not run" in (tmp_path / "out" / "table.md").read_text()


def _raising(error: BaseException) -> Callable[..., int]:
    def run(*_: object, **__: object) -> int:
        raise error

    return run


def begun(output: Path, *settings: str) -> None:
    """Write the plan of the sweep of figure 3, quick, as started with these settings."""
    scale = read_request(QUICK[1:], None).scale
    sweep = SweepDirectory(output / "runs" / "tiny-entropy")
    sweep.path.mkdir(parents=True)
    sweep.begin(
        "sweep",
        grid_overrides(scale, scale.grids[0], settings),
        [plan_cell(0, {"condition": "grpo"}, ("condition=grpo", "seed=0"))],
        swept_keys=["condition"],
        is_search=False,
        tracking_uri=None,
        experiment="x",
    )
