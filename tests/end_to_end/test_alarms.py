"""An alarm from the command line: on the console, in metrics.jsonl, as an MLflow tag; once, resumed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import runs
from tests.end_to_end.checkpoints import interrupted_copy

pytestmark = pytest.mark.slow

#: Lengths that differ at all set it off.
SETTINGS = ("trainer.steps=4", "alarms.window=1", "alarms.length_ratio=1.0000001", "alarms.entropy_share=null",
            "trainer.learning_rate=3e-3")  # fmt: skip
TAG = "igrpo.alarm.length_drift"


def series(run_dir: Path) -> list[tuple[int, float]]:
    return [(one["step"], one["alarm/length_drift"]) for one in runs.metrics(run_dir) if "alarm/length_drift" in one]


def warnings(text: str) -> int:
    return " ".join(text.split()).count("alarm length_drift at step")


def test_an_alarm_is_told_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    runs.run_here(runs.train(tmp_path, "run", *SETTINGS))
    said = capsys.readouterr()
    first = next(step for step, value in series(run_dir) if value)
    assert f"alarm length_drift at step {first}: the length of trained refinements" in " ".join(
        (said.out + said.err).split()
    )
    assert f"alarm length_drift at step {first}: " in (run_dir / "log.txt").read_text(encoding="utf-8")
    lines = runs.metrics(run_dir)
    assert [step for step, _ in series(run_dir)] == [1, 2, 3, 4]
    assert not any("alarm/entropy_collapse" in line for line in lines)  # null: off
    evaluated: list[dict[str, Any]] = [line for line in lines if "development/single_shot/accuracy" in line]
    assert [line["alarm/copying"] for line in evaluated] == [0.0] * 3  # steps 0, 3 and 4
    told = runs.tags(run_dir)
    assert told[TAG].startswith("step ")
    assert [name for name in told if name.startswith("igrpo.alarm.")] == [TAG]

    # resumed from step 2, where it may have gone off already, it says what the whole run said after that, and no more
    before = [value for step, value in series(run_dir) if step <= 2]
    after = [value for step, value in series(run_dir) if step > 2]
    begun = sum(now > then for then, now in zip([before[-1], *after], after, strict=False))
    resumed = interrupted_copy(run_dir, tmp_path / "resumed", 4)
    capsys.readouterr()
    runs.run_here(["train", f"resume={resumed}"])
    said = capsys.readouterr()
    assert series(resumed) == series(run_dir)
    assert warnings(said.out + said.err) == begun
