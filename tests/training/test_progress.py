"""What the console shows: lines now and then without a terminal, one bar with it, no mess after an error."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from igrpo.training.progress import ProgressCallback, step_line
from tests.training.small_run import ScriptedReward, fit, make


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)


def printed(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_the_line_of_a_step_is_about_what_is_trained() -> None:
    drafts = {"draft/reward_mean": 0.25, "draft/entropy": 0.5}
    assert step_line(drafts, None) == "no reward"
    trained = {**drafts, "train/reward": 0.75, "train/entropy": 0.125}
    assert step_line(trained, 0.5) == "reward 0.750  entropy 0.125  development accuracy 0.500"


def test_lines_without_a_terminal(tmp_path: Path) -> None:
    out = console(terminal=False)
    progress = ProgressCallback(out, 3)
    progress.report_accuracy(0, 0.125)
    fit(make("igrpo", steps=3), 3, tmp_path, callbacks=[progress])
    lines = printed(out).splitlines()
    assert lines[0] == "step     0/3  development single-shot accuracy 0.125"
    assert [line[:12] for line in lines[1:]] == ["step     1/3", "step     2/3", "step     3/3"]
    assert all(line.endswith("development accuracy 0.125") for line in lines[1:])


def test_the_line_of_a_step_that_its_budget_made_the_last(tmp_path: Path) -> None:
    out = console(terminal=False)
    module = make("igrpo", steps=60, limits={"max_samples": 25})  # 12 samples a step, a line every 60 // 20 = 3
    fit(module, 60, tmp_path, callbacks=[ProgressCallback(out, 60)])
    assert [line[:13] for line in printed(out).splitlines()] == ["step     3/60"]
    out, module = console(terminal=False), make("igrpo", steps=60, limits={"max_samples": 24})
    fit(module, 60, tmp_path, callbacks=[ProgressCallback(out, 60)])
    assert [line[:13] for line in printed(out).splitlines()] == ["step     2/60"]


def test_about_twenty_lines_of_a_long_run_and_always_the_last() -> None:
    out, module = console(terminal=False), make("grpo", steps=205)
    progress = ProgressCallback(out, 205)  # 205 // 20 = 10
    module.latest = {"train/reward": 0.0, "train/entropy": 1.0}
    for step in range(1, 206):
        module.rollout_step = step
        progress.on_train_batch_end(None, module)  # type: ignore[arg-type]
    shown = [int(line.split()[1].split("/")[0]) for line in printed(out).splitlines()]
    assert shown == [*range(10, 201, 10), 205]


@pytest.mark.parametrize("terminal", [True, False])
def test_an_exception_stops_the_bar_and_comes_through(tmp_path: Path, terminal: bool) -> None:
    out = console(terminal=terminal)
    progress = ProgressCallback(out, 3)

    def fail(_completion: object) -> float:
        raise RuntimeError("the reward is down")

    with pytest.raises(RuntimeError, match="the reward is down"):
        fit(make("igrpo", ScriptedReward(fail)), 3, tmp_path, callbacks=[progress])
    assert printed(out).count("\x1b[?25h") == terminal  # the cursor is shown again
    assert ("first evaluation" in printed(out)) == terminal


def test_a_bar_on_a_terminal_goes_on_where_a_resumed_run_does(tmp_path: Path) -> None:
    out = console(terminal=True)
    progress, module = ProgressCallback(out, 3), make("igrpo")
    progress.on_train_start(None, module)  # type: ignore[arg-type]
    module.rollout_step = 2
    progress.on_train_start(None, module)  # type: ignore[arg-type]
    progress.on_train_end(None, module)  # type: ignore[arg-type]
    assert "2/3" in printed(out)
    assert "step " not in printed(out)  # no lines beside the bar
