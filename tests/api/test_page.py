"""Every block of docs/python_api.md runs, in order, and the module from parts fits in 15 lines."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

import igrpo
from tests.trained_runs import SMALL

PAGE = Path(__file__).parents[2] / "docs" / "python_api.md"

#: What the blocks would take too long with, in a test: the size of the model, of the data and of the evaluations.
FAST = [text for text in SMALL if not text.startswith(("trainer.", "objective."))] + ["data.train=64"]


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("compose", "grid"):
        composed = getattr(igrpo, name)
        monkeypatch.setattr(igrpo, name, lambda experiment, lines, made=composed: made(experiment, [*FAST, *lines]))
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Lightning, about its own trainer
        for block in blocks():
            exec(compile(block, str(PAGE), "exec"), names)
    out = capsys.readouterr().out
    assert "refused" in out
    assert "no difference shown between igrpo and grpo" in out
    assert names["run"].summary.steps == 3
    assert names["module"].rollout_step == 2
    assert (tmp_path / "grpo_and_igrpo" / "report.html").is_file()


def test_the_module_takes_at_most_15_lines() -> None:
    (block,) = (block for block in blocks() if "objective=igrpo.losses" in block)
    assert len([line for line in block.splitlines() if line.strip()]) <= 15


def test_every_public_name_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [name for name in igrpo.__all__ if f"igrpo.{name}" not in text and f"`{name}`" not in text]
    assert missing == ["Completion", "Verdict", "WrittenReport"]  # results, and what a reward is given
