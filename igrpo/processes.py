"""Waiting for processes that were killed: the kernel ends a process some time after it was sent SIGKILL."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import psutil

_POLL_S = 0.01


def is_alive(process: psutil.Process) -> bool:
    """True until the process has ended; a zombie, which its parent has not reaped yet, has ended."""
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def wait_ended(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until all processes have ended, and return those that have not after ``timeout_s`` seconds.

    Unlike ``psutil.wait_procs`` it does not wait for zombies, which stay for ever where nothing reaps orphans (as in a
    container without an init process).
    """
    deadline = time.monotonic() + timeout_s
    alive = list(filter(is_alive, processes))
    while alive and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        alive = list(filter(is_alive, alive))
    return alive


def members_of_group(group: int) -> list[psutil.Process]:
    """Return the processes of a process group, zombies included."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group:
                members.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return members
