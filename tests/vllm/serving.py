"""What the tests of `igrpo serve` share."""

from __future__ import annotations

import subprocess


def told_until_ready(serve: subprocess.Popen[str]) -> str:
    """What `igrpo serve` prints until it is ready, or all that it said where it ended before."""
    assert serve.stdout is not None
    told = []
    for line in serve.stdout:
        told.append(line)
        if line.startswith("Ctrl-C"):
            break
    return "".join(told)
