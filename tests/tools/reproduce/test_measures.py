"""Costs and entropies of a run, by hand from its metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from igrpo.config import config_values
from igrpo.runs.run_directory import RunDirectory
from igrpo.tools.reproduce.measures import cost, entropy_at
from tests.composed import config


def run(folder: Path, *overrides: str, gpu: bool = True) -> Path:
    """A run of 5 steps of 4 questions and 8 samples each, 10 seconds of training per step, evaluated at 0 and 5."""
    directory = RunDirectory(folder)
    directory.create()
    directory.save_config(config_values(config(None, *(overrides or ("trainer.questions_per_step=4",)))))
    lines: list[dict[str, float]] = [{"step": 0, "time": 0.0, "test/single_shot/accuracy": 0.5}]
    for step in range(1, 6):
        values = {"step": step, "time": 1.0, "budget/samples": 32 * step, "train/entropy": 2.0 / step,
                  "seconds/generation": 6.0 * step, "seconds/update": 4.0 * step, "seconds/evaluation": 100.0,
                  "seconds/checkpoint": 50.0}  # fmt: skip
        lines.append(values | ({"memory/peak_gib": 10.0 - abs(step - 3)} if gpu else {}))
    lines.append({"step": 5, "time": 2.0, "test/single_shot/accuracy": 0.6})
    directory.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_costs_are_those_of_the_training(tmp_path: Path) -> None:
    path = run(tmp_path / "run")
    assert cost(path, "samples_per_second") == pytest.approx(160 / 50)
    assert cost(path, "questions_per_second") == pytest.approx(20 / 50)
    assert cost(path, "peak_gb") == pytest.approx(10 * 1.073741824)
    assert cost(path, "device_hours") == pytest.approx(50 / 3600)
    assert cost(run(tmp_path / "cpu", gpu=False), "peak_gb") is None


def test_hours_count_the_devices_that_train_and_those_that_serve(tmp_path: Path) -> None:
    settings = ("experiment=paper/cost", "rollout.url=http://127.0.0.1:1")
    assert cost(run(tmp_path / "run", *settings), "device_hours") == pytest.approx(50 / 3600 * (8 + 4 * 2))


def test_entropy_at_a_percentage_of_the_steps(tmp_path: Path) -> None:
    path = run(tmp_path / "run")
    found = {percent: entropy_at(path, percent) for percent in ("0", "30", "60", "100")}
    # steps 1 to 5: 0 % is the first, 100 % the last; 30 % is 1.2 steps behind the first, 60 % 2.4
    assert found == {"0": 2.0, "30": pytest.approx(2 / 2), "60": pytest.approx(2 / 3), "100": pytest.approx(2 / 5)}
