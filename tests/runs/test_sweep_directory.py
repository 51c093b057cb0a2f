"""How the runs of a sweep stand, by their files alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import CellRecord, plan_cell, run_state, sweep_of
from tests.begun import begun_sweep


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path / "000-s0")
    directory.create()
    return directory


def elsewhere(run: RunDirectory, silent_s: float) -> None:
    """A run that another host works on, and that wrote something so long ago."""
    run.begin(["test"])
    record = json.loads(run.record_file.read_text()) | {"host": "another-host"}
    run.record_file.write_text(json.dumps(record))
    moment = time.time() - silent_s
    os.utime(run.record_file, (moment, moment))


def test_a_run_waits_until_it_begins_and_then_runs(run: RunDirectory) -> None:
    assert run_state(run).status == "WAITING"
    run.begin(["test"])
    assert run_state(run).status == "RUNNING"
    run.finish("FAILED", error="lost")
    assert (run_state(run).status, run_state(run).error) == ("FAILED", "lost")


def test_a_long_silent_run_of_another_host_counts_as_killed(run: RunDirectory) -> None:
    elsewhere(run, silent_s=60)
    assert run_state(run).status == "RUNNING"
    elsewhere(run, silent_s=3600)
    assert run_state(run).status == "KILLED"
    assert "no sign of life from process" in str(run_state(run).error)


def test_a_silent_run_whose_folder_is_held_lives(run: RunDirectory) -> None:
    elsewhere(run, silent_s=3600)
    with run.acquire():
        assert run_state(run).status == "RUNNING"


def test_a_run_knows_its_sweep(tmp_path: Path) -> None:
    cell = plan_cell(0, {"seed": "0"}, ("seed=0",))
    sweep = begun_sweep(tmp_path, cell, is_search=True)
    found = sweep_of(tmp_path / cell.folder)
    assert found is not None
    assert found[1] == cell
    later = CellRecord(number=1, folder="001-s1", swept={"seed": "1"}, overrides=("seed=1",))
    assert sweep.add_cell(later).cells == (cell, later)
    assert sweep_of(tmp_path.parent) is None
