"""profile=true: a trace of the steps that were asked for, a table whose phases are all of the time, and no other run."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import lightning
import pytest

from igrpo.phases import PhaseTime, measured
from igrpo.settings.tracking import ProfilingConfig
from igrpo.training.profile import ProfileCallback
from igrpo.training.profile_table import Operator, profile_record, profile_text
from tests.training.small_run import fit, make, same_weights

FILES = {"phases.json", "phases.txt", "trace-rank0.json.gz"}


def profiled(folder: Path, steps: int, after: int = 1, traced: int = 2, **settings: Any) -> tuple[Any, list[str]]:
    """A run of ``steps`` steps with a profile in ``folder``, and what it printed."""
    shown: list[str] = []
    module = make(steps=steps, **settings)
    callback = ProfileCallback(folder / "profile", ProfilingConfig(after=after, steps=traced), shown.append)
    fit(module, steps, folder, callbacks=[callback])
    return module, shown


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "profile").glob("*")}


def record(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "profile" / "phases.json").read_text())
    return read


def trace(folder: Path) -> list[dict[str, Any]]:
    with gzip.open(folder / "profile" / "trace-rank0.json.gz", "rt") as file:
        events: list[dict[str, Any]] = json.load(file)["traceEvents"]
    return events


def test_three_steps_give_a_trace_and_a_table(tmp_path: Path) -> None:
    _, shown = profiled(tmp_path, 3)
    assert os.environ["KINETO_LOG_LEVEL"]  # read at the first trace of a process, which may be another test's
    assert files(tmp_path) == FILES
    found = record(tmp_path)
    assert (found["steps"], found["traced_steps"]) == (1, [2, 3])
    seconds = {one["phase"]: one["wall_seconds"] for one in found["phases"]}
    assert {"rollout/prefill", "rollout/decode", "update/forward", "update/backward", "update/optimizer"} <= set(
        seconds
    )
    assert {"rollout/reward_wait", "weight_sync", "logging", "other"} <= set(seconds)
    assert {one["calls"] for one in found["phases"] if one["phase"] in {"rollout", "update"}} == {
        1
    }  # of the first step
    assert sum(seconds.values()) == pytest.approx(found["wall_seconds"])
    assert sum(one["cpu_share"] for one in found["phases"]) == pytest.approx(1)
    text = (tmp_path / "profile" / "phases.txt").read_text()
    assert text in shown[0]
    assert "operators in the trace (step 2, 3)" in text
    assert "aten::" in text
    assert not measured()


def test_the_trace_has_the_phases_and_the_operators_of_its_steps(tmp_path: Path) -> None:
    profiled(tmp_path, 4, after=2, traced=1)
    names = [event.get("name", "") for event in trace(tmp_path)]
    assert names.count("igrpo: update") == names.count("igrpo: rollout") == 1
    assert names.count("igrpo: decode") > 1
    assert any(name.startswith("aten::") for name in names)
    assert not any(one["operator"].startswith("igrpo: ") for one in record(tmp_path)["operators"])


def test_a_profile_changes_nothing(tmp_path: Path) -> None:
    plain = make(steps=3, kl_beta=0.1, epochs=2)
    fit(plain, 3, tmp_path)
    with_profile, _ = profiled(tmp_path, 3, kl_beta=0.1, epochs=2)
    assert same_weights(plain, with_profile)
    values = [
        {k: v for k, v in m.latest.items() if "seconds" not in k and "memory" not in k} for m in (plain, with_profile)
    ]
    assert values[0] == values[1]
    assert {"update/reference", "update/old_logprobs"} <= {one["phase"] for one in record(tmp_path)["phases"]}


@pytest.mark.parametrize(("after", "traced", "expected"), [(0, 1, [1]), (2, 9, [3]), (0, 3, [1, 2, 3])])
def test_the_traced_steps_end_with_the_run(after: int, traced: int, expected: list[int], tmp_path: Path) -> None:
    profiled(tmp_path, 3, after, traced)
    assert record(tmp_path)["traced_steps"] == expected
    assert files(tmp_path) == FILES


def test_a_run_that_ends_before_the_trace_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    profiled(tmp_path, 2, after=2)
    assert files(tmp_path) == FILES - {"trace-rank0.json.gz"}
    assert "no step was traced" in caplog.text
    assert record(tmp_path)["operators"] == []


class Interrupt(lightning.Callback):
    """Ctrl-C during a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.rollout_step + 1 == self._step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("step", "left"), [(3, set()), (4, {"trace-rank0.json.gz"})])
def test_ctrl_c_leaves_a_whole_trace_or_none(step: int, left: set[str], tmp_path: Path) -> None:
    callback = ProfileCallback(tmp_path / "profile", ProfilingConfig(after=1, steps=2), print)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(make(steps=5), 5, tmp_path, callbacks=[callback, Interrupt(step)])
    assert files(tmp_path) == left
    assert not measured()
    profiled(tmp_path, 3)  # torch.profiler and the timer are free again
    assert files(tmp_path) == FILES
    assert trace(tmp_path)


def test_an_error_while_writing_leaves_no_half_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("no such device")

    monkeypatch.setattr("igrpo.training.profile.shutil.copyfileobj", broken)
    with pytest.raises(OSError, match="no such device"):
        profiled(tmp_path, 3)
    assert files(tmp_path) == set()
    assert not measured()


def test_the_table_by_hand() -> None:
    times = {"other": PhaseTime(1.0, 0.5), "rollout": PhaseTime(1.0, 0.5, 2), "update": PhaseTime(4.0, 1.0, 2),
             "rollout/decode": PhaseTime(2.0, 2.0, 30)}  # fmt: skip
    operators = [Operator("aten::mm", 3, 0.5, 1.0), Operator("aten::add", 4, 0.5, 0.0), Operator("tiny", 1, 0.0, 0.0)]
    made = profile_record(times, 2, [2], operators, top=2)
    assert (made["wall_seconds"], made["cpu_seconds"]) == (8.0, 4.0)
    assert [(one["phase"], one["wall_share"], one["cpu_share"]) for one in made["phases"]] == [
        ("other", 0.125, 0.125), ("rollout", 0.125, 0.125), ("rollout/decode", 0.25, 0.5), ("update", 0.5, 0.25),
    ]  # fmt: skip
    assert [(one["operator"], one["share"]) for one in made["operators"]] == [("aten::mm", 0.75), ("aten::add", 0.25)]
    lines = profile_text(made).splitlines()
    assert lines[0] == "time by phase"
    assert lines[4].split() == ["decode", "30", "2.00", "50.0%", "2.00", "25.0%"]
    assert lines[6].split() == ["all,", "2", "steps", "4.00", "8.00"]


def test_a_run_without_time_or_operators_has_a_table() -> None:
    assert "all, 0 steps" in profile_text(profile_record({"other": PhaseTime()}, 0, [], [], top=3))
