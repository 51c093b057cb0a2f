"""Waiting for what other threads and processes do: with a deadline that only a hang reaches, however loaded the machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from igrpo.processes import is_alive

#: Seconds.
DEADLINE_S = 60.0


def wait_until(condition: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
    """Return when ``condition`` holds; fail if it does not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {timeout_s:.0f} s"
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    """True of a zombie, too, which stays where nobody reaps orphans."""
    return not psutil.pid_exists(pid) or not is_alive(psutil.Process(pid))
