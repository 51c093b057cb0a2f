"""Runs a command and outlives nobody: it kills the command's whole process group when its parent goes.

``python guard.py COMMAND ...``, started in a session of its own, with a pipe as its standard input. The other end of
the pipe is the parent's, so it closes however the parent ends, by SIGKILL too. The standard library alone: it has to be
up before anything can go wrong.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _kill_group() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)  # this process among them


def _watch_parent() -> None:
    while os.read(0, 4096):
        pass
    _kill_group()


def main(command: list[str]) -> None:
    """Run the command; when it has ended, so do the processes that it left behind."""
    if os.getpgid(0) != os.getpid():
        raise SystemExit("guard: has to be started in a session of its own")
    # SIGTERM goes to the whole group, and the command decides how it ends. A handler, unlike SIG_IGN, is not inherited.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch_parent, daemon=True).start()
    code = child.wait()
    print(f"guard: the command ended with {code}", flush=True)
    _kill_group()


if __name__ == "__main__":
    main(sys.argv[1:])
