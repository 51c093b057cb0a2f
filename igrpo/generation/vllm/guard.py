"""A wrapper that runs a command and kills its whole process group when the parent process ends.

Usage: ``python guard.py COMMAND ...``, started in its own session, with a pipe as its standard input. The parent holds
the other end of the pipe, so the pipe closes however the parent ends, including by SIGKILL. Only the standard library
is used, so that the guard is running before anything can fail.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _kill_group() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)  # includes this process


def _watch_parent() -> None:
    while os.read(0, 4096):
        pass
    _kill_group()


def main(command: list[str]) -> None:
    """Run the command; when it has ended, kill the processes that it left behind."""
    if os.getpgid(0) != os.getpid():
        raise SystemExit("guard: has to be started in a session of its own")
    # SIGTERM reaches the whole group, and the command decides how to end. A handler, unlike SIG_IGN, is not inherited.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch_parent, daemon=True).start()
    code = child.wait()
    print(f"guard: the command ended with {code}", flush=True)
    _kill_group()


if __name__ == "__main__":
    main(sys.argv[1:])
