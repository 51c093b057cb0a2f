"""Processes that end when the process that started them ends, even by kill -9 or when memory runs out.

A run with several processes has a driver (`igrpo train`, or `igrpo join` on another node), torchrun, and a worker per
device. On Linux the kernel kills torchrun when the driver ends. Every worker watches the driver and torchrun, and
torchrun ends after its workers. A worker's own children end when their pipes close, or are killed here.

This file is also a program that runs torchrun: ``python lifeline.py PARENT COMMAND ...`` replaces itself by the
command.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict

_STARTER = "IGRPO_STARTER"
_POLL_S = 0.5
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def tied(command: Sequence[str]) -> list[str]:
    """Wrap a command that this process starts, so that it is killed when this process ends (on Linux)."""
    return [sys.executable, "-P", __file__, str(os.getpid()), *command]


def starter_variables() -> dict[str, str]:
    """Return environment variables that tell all child processes that this process is their driver."""
    from igrpo.runs.process import ProcessMark

    return {_STARTER: json.dumps(asdict(ProcessMark.current()))}


def end_with_starter() -> None:
    """Kill this process and its children as soon as its driver or parent has ended. Without a driver, do nothing.

    SIGKILL is used, because the process may be waiting in a collective for a process that has ended.
    """
    from igrpo.runs.process import ProcessMark

    if _STARTER not in os.environ:
        return
    starter, parent = ProcessMark(**json.loads(os.environ[_STARTER])), os.getppid()

    def watch() -> None:
        while os.getppid() == parent and not starter.is_dead():
            time.sleep(_POLL_S)
        _kill_children()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="igrpo-lifeline", daemon=True).start()


def _kill_children() -> None:
    """Kill the children in this session. A child with its own session (a vLLM server) ends by itself."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            if os.getsid(child.pid) == os.getsid(0):
                child.kill()
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue


def _become(parent: int, command: Sequence[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent had already ended
        raise SystemExit(1)
    os.execv(command[0], list(command))


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
