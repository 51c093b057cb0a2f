"""Stopping the runs of a sweep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from igrpo.runs.sweep_directory import plan_cell
from igrpo.sweeps.cell import stop_runs
from tests.begun import begun_sweep

#: A run that, when it is asked to end, does what a second Ctrl-C does to its driver.
RUN = """
import os, signal, sys, time
def end(*_):
    os.kill(os.getppid(), signal.SIGINT)
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_second_ctrl_c_does_not_leave_runs_behind(tmp_path: Path) -> None:
    cell = plan_cell(0, {"seed": "0"}, ())
    sweep = begun_sweep(tmp_path, cell)
    directory = sweep.run_directory(cell)
    directory.create()
    process = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    started = psutil.Process(process.pid).create_time()
    record = directory.begin().model_copy(update={"pid": process.pid, "pid_started": started})
    directory.record_file.write_text(record.model_dump_json())
    stop_runs(sweep)
    assert process.wait(60) == 0
    assert sweep.state(cell).status == "KILLED"
