"""Processes that end with their driver, with small programs in the place of torchrun and the workers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from igrpo.processes import is_alive, wait_ended
from tests.waiting import DEADLINE_S

_SLEEP = "import time; time.sleep(300)"

#: A worker with a child of its session, which ignores what can be ignored; and one that looks after itself.
_WORKER = f"""
import os, subprocess, sys, time
from igrpo.runs.lifeline import end_with_starter
end_with_starter()
stubborn = [sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_SLEEP}"]
child = subprocess.Popen(stubborn)
other = subprocess.Popen([sys.executable, "-c", "{_SLEEP}"], start_new_session=True)
print(os.getppid(), os.getpid(), child.pid, other.pid, flush=True)
time.sleep(300)
"""

#: As torchrun does, it starts its worker in a session of its own.
_TORCHRUN = """
import subprocess, sys
raise SystemExit(subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True).wait())
"""

_DRIVER = """
import os, subprocess, sys
from igrpo.runs.lifeline import starter_variables, tied
command = tied([sys.executable, "-c", sys.argv[1], sys.argv[2]])
raise SystemExit(subprocess.Popen(command, start_new_session=True, env=os.environ | starter_variables()).wait())
"""


@pytest.mark.parametrize("whom", ["driver", "torchrun"])
def test_all_end_with_the_one_that_is_killed(whom: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_DRIVER), _TORCHRUN, _WORKER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        torchrun, worker, child, other = (psutil.Process(int(pid)) for pid in driver.stdout.readline().split())
        assert torchrun.ppid() == driver.pid
        try:
            (driver if whom == "driver" else torchrun).kill()
            assert wait_ended([torchrun, worker, child], DEADLINE_S) == []
            assert is_alive(other)
        finally:
            other.kill()
        assert driver.wait(DEADLINE_S) != 0


def test_without_a_driver_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun that a user starts by hand."""
    code = (
        "import threading; from igrpo.runs.lifeline import end_with_starter as e; e(); print(threading.active_count())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "IGRPO_STARTER"}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert output.stdout == "1\n"


def test_what_is_started_too_late_does_not_start(tmp_path: Path) -> None:
    from igrpo.runs.lifeline import tied

    (program, *rest) = tied([sys.executable, "-c", f"open({str(tmp_path / 'started')!r}, 'w')"])
    gone = [str(1 << 30) if part == str(os.getpid()) else part for part in rest]
    assert subprocess.run([program, *gone], check=False).returncode == 1
    assert not (tmp_path / "started").exists()
