"""What a run and a sweep look like in a terminal of 80 and of 160 columns. Pictures go to $IGRPO_SCREENS, if it is set."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.end_to_end.runs import run, train
from tests.end_to_end.sweeps import sweep
from tests.terminal import Session
from tests.terminal import run as run_in_terminal

QUICK = ("trainer.steps=3", "evaluation.every=2", "tracking=none")


def shown(arguments: list[str], width: int, folder: Path) -> Session:
    session = run_in_terminal([sys.executable, "-m", "igrpo", *arguments], width, folder, {"OMP_NUM_THREADS": "1"})
    if "IGRPO_SCREENS" in os.environ:
        session.save(
            Path(os.environ["IGRPO_SCREENS"]) / f"{'sweep' if '--multirun' in arguments else 'run'}-{width}.svg"
        )
    assert session.code == 0, session.lines
    assert "Traceback" not in session.raw
    copied = ("://", str(folder))  # links and paths stay whole, so that they can be copied
    wide = [line for line in session.drawn if len(line) > width and not any(text in line for text in copied)]
    assert wide == []
    assert not any("━" in line for line in session.lines), "the bar is gone at the end"
    return session


@pytest.mark.parametrize("width", [80, pytest.param(160, marks=pytest.mark.slow)])
def test_a_run_in_a_terminal(width: int, tmp_path: Path) -> None:
    session = shown(train(tmp_path, "run", *QUICK), width, tmp_path)
    bars = [line for line in session.drawn if line.startswith("igrpo s0 ")]
    assert any(" 0/3 evaluating the development questions " in bar for bar in bars)
    assert any(" 1/3 reward " in bar and " (step 0) " in bar and bar.endswith(" left") for bar in bars)
    assert any(" 2/3 evaluating the development questions " in bar for bar in bars)
    assert any(" 3/3 evaluating the test questions " in bar for bar in bars)
    assert ("entropy" in "".join(bars)) == (width == 160)
    text = "\n".join(session.lines)
    for expected in (
        "completions per question  4 = 2 drafts + 2 refinements",
        "igrpo s0: 3 of 3 steps in ",
        "single-shot",
    ):
        assert expected in text
    assert "├──" not in text


@pytest.mark.slow
def test_a_sweep_in_a_terminal(tmp_path: Path) -> None:
    session = shown(sweep(tmp_path, "condition=grpo,igrpo", "seed=0,1", "tracking=none", "--no-measure"), 80, tmp_path)
    drawn = "\n".join(session.drawn)
    assert "sweep: 0 of 4 done, 1 running, 3 waiting" in drawn
    assert "sweep: 3 of 4 done, 1 running, about " in drawn
    text = "\n".join(session.lines)
    assert (
        text.index("the sweep")
        < text.index("- no difference shown between igrpo and grpo")
        < text.index("sweep directory: ")
    )
    assert "differences in single-shot accuracy, percentage points" in text


@pytest.mark.slow
def test_a_run_in_a_file_has_lines_and_no_frames(tmp_path: Path) -> None:
    output = run(train(tmp_path, "run", *QUICK), tmp_path)
    assert not {"\x1b", "\r", "━", "⠋"} & set(output)
    steps = [line for line in output.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in steps] == ["0/3", "1/3", "2/3", "2/3", "3/3", "3/3"]
    assert steps[1].endswith(" left")
