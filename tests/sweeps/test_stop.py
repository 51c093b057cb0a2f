"""Stopping the runs of a sweep that are still active."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from igrpo.runs.sweep_directory import CellRecord
from igrpo.sweeps.cell import stop_runs
from tests.begun import begun_sweep

RUN = """
import signal, sys, time
from igrpo.runs.run_directory import RunDirectory
signal.signal(signal.SIGTERM, signal.SIG_IGN)
directory = RunDirectory(sys.argv[1])
with directory.acquire():
    directory.begin(command=[])
    print(flush=True)
    time.sleep(300)
"""


def test_a_run_that_ignores_sigterm_is_marked_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the kernel takes to end it; here SIGKILL arrives late."""
    cell = CellRecord(number=0, folder="0", swept={}, overrides=())
    sweep = begun_sweep(tmp_path, cell)
    command = [sys.executable, "-c", RUN, str(sweep.run_directory(cell))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"\n"
        monkeypatch.setattr("igrpo.sweeps.cell.STOP_S", 0.1)
        monkeypatch.setattr(psutil.Process, "kill", lambda _: threading.Timer(0.5, run.kill).start())
        stop_runs(sweep)
    assert sweep.run_directory(cell).read_record().status == "KILLED"
