"""What the console shows: lines now and then without a terminal, one bar with it, no mess after an error."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from igrpo.console import footer_of
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
    assert step_line(trained, (40, 0.5), 40) == "reward 0.750  entropy 0.125  accuracy 0.500"
    assert step_line(trained, (40, 0.5), 41) == "reward 0.750  entropy 0.125  accuracy 0.500 (step 40)"
    assert step_line(trained, (40, 0.5), 41, entropy=False) == "reward 0.750  accuracy 0.500 (step 40)"


def test_lines_without_a_terminal(tmp_path: Path) -> None:
    out = console(terminal=False)
    progress = ProgressCallback(out, 3)
    progress.report_accuracy(0, 0.125)
    fit(make("igrpo", steps=3), 3, tmp_path, callbacks=[progress])
    lines = printed(out).splitlines()
    assert lines[0] == "step     0/3  development single-shot accuracy 0.125"
    assert [line[:12] for line in lines[1:]] == ["step     1/3", "step     2/3", "step     3/3"]
    assert all("accuracy 0.125 (step 0)" in line for line in lines[1:])
    assert [line.endswith(" left") for line in lines[1:]] == [True, True, False]


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
    assert ("0/3 first step" in printed(out)) == terminal


def test_a_bar_on_a_terminal_goes_on_where_a_resumed_run_does(tmp_path: Path) -> None:
    out = console(terminal=True)
    progress, module = ProgressCallback(out, 3), make("igrpo")
    module.rollout_step = 2
    progress.on_train_start(None, module)  # type: ignore[arg-type]
    assert " 2/3 " in printed(out)
    assert "\n" not in printed(out)  # no lines beside the bar
    progress.on_train_end(None, module)  # type: ignore[arg-type]
    assert "training: 2 of 3 steps" in printed(out)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_bar_is_one_line_whatever_it_says(width: int) -> None:
    out = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    module = make("igrpo", steps=10_000)
    progress = ProgressCallback(out, 10_000, "a condition of a very long name s3")
    progress.report_accuracy(9_000, 0.125)
    progress.on_train_start(None, module)  # type: ignore[arg-type]
    module.rollout_step, module.latest = 9_999, {"train/reward": -0.123, "train/entropy": 1.5}
    progress.on_train_batch_end(None, module)  # type: ignore[arg-type]
    with progress.evaluating(9_999, "a benchmark of a very long name"):
        (evaluating,) = out.render_lines(progress._line(), pad=False)
    (line,) = out.render_lines(progress._line(), pad=False)
    progress.on_train_end(None, module)  # type: ignore[arg-type]
    text = "".join(segment.text for segment in line)
    assert cell_len(text) <= width
    assert text.startswith("a condition of a ve… 9999/10000 reward -0.123" if width == 80 else "a condit")
    assert "9999/10000 " in text
    assert text.endswith(" 0:00 left")
    assert "9999/10000 evaluating t" in "".join(segment.text for segment in evaluating)
    assert ("entropy 1.500  accuracy 0.125 (step 9000)" in text) == (width == 160)


def test_while_a_split_is_evaluated_the_bar_says_so_and_of_which_step() -> None:
    out = console(terminal=True)
    progress = ProgressCallback(out, 8, "igrpo s0")
    with progress.evaluating(6, "development"):
        text = "".join(segment.text for line in out.render_lines(progress._line(), pad=False) for segment in line)
        assert "igrpo s0 " in text
        assert " 6/8 evaluating the development questions  0:00" in text
    footer_of(out).remove(progress._line)


def test_the_time_left_counts_the_evaluations_that_are_still_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("igrpo.training.progress.time.monotonic", lambda: now[0])
    out, module = console(terminal=False), make("grpo", steps=4)
    progress = ProgressCallback(out, 4)
    with progress.evaluating(0, "test"):
        now[0] += 30
    progress.on_train_start(None, module)  # type: ignore[arg-type]
    for module.rollout_step in (1, 2):
        now[0] += 60
        progress.on_train_batch_end(None, module)  # type: ignore[arg-type]
    assert [line.rpartition("  ")[2] for line in printed(out).splitlines()] == ["3:30 left", "2:30 left"]
