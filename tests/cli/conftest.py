"""A training that only records how it was called: the real one stands behind the module that is replaced here."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from igrpo.config import RunConfig, config_values
from igrpo.runs.console import get_console
from igrpo.runs.run_directory import RunDirectory


@dataclass
class FakeTraining:
    """``calls`` holds the arguments of each call; ``behave`` is what training does."""

    calls: list[tuple[RunConfig, Path, bool]] = field(default_factory=list)
    behave: Callable[[RunConfig], dict[str, Any] | None] = lambda config: None

    def train(self, config: RunConfig, run_dir: Path, *, resume: bool) -> dict[str, Any] | None:
        self.calls.append((config, run_dir, resume))
        directory = RunDirectory(run_dir)  # what the command reads of it afterwards is written by the real one, too
        directory.save_config(config_values(config))
        directory.begin()
        try:
            summary = self.behave(config)
        except Exception as error:
            directory.finish("FAILED", error=str(error))
            raise
        directory.finish("FINISHED")
        return summary


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTraining:
    """Installed in place of igrpo.runs.training_run; the working directory is an empty one."""
    fake, module = FakeTraining(), ModuleType("igrpo.runs.training_run")
    vars(module)["train"] = fake.train
    monkeypatch.setitem(sys.modules, "igrpo.runs.training_run", module)
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture(autouse=True)
def plain_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide output without colours."""
    monkeypatch.setattr(get_console(), "width", 160)
    monkeypatch.setattr(get_console(), "no_color", True)
