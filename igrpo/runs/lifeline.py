"""Processes that end with the process that started them, however that ends: kill -9 and lack of memory included.

A run of several processes is a driver (`igrpo train`, or `igrpo join` on another node), torchrun, and a worker per
device. torchrun is tied to the driver by the kernel, where it is Linux; every worker watches the driver and torchrun by
itself, and torchrun ends when its workers have. A worker's own children end by their closed pipes, or are ended here.

This file is also the program that ties torchrun: ``python lifeline.py PARENT COMMAND ...`` becomes the command.
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
    """The command, to be started by this process and to be killed with it (on Linux)."""
    return [sys.executable, "-P", __file__, str(os.getpid()), *command]


def starter_variables() -> dict[str, str]:
    """Environment variables by which all processes below know that this one is their driver."""
    from igrpo.runs.process import ProcessMark

    return {_STARTER: json.dumps(asdict(ProcessMark.current()))}


def end_with_starter() -> None:
    """Kill this process and its children as soon as its driver or its parent is gone; nothing where it has no driver.

    It is killed, not asked to end: it may be waiting in a collective for a process that is gone.
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
    """Those of this session; what has a session of its own (a vLLM server) looks after itself."""
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
    if os.getppid() != parent:  # it was gone before
        raise SystemExit(1)
    os.execv(command[0], list(command))


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
