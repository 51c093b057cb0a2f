"""`igrpo serve` as a process."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from igrpo.processes import wait_ended
from tests.end_to_end import runs
from tests.waiting import DEADLINE_S

ROOT = Path(__file__).parents[2]


@contextmanager
def start_serve(
    folder: Path, port: int, *arguments: str, **variables: str
) -> Generator[subprocess.Popen[str], None, None]:
    """`igrpo serve ARGUMENTS` in ``folder``, with settings for a test machine; nothing of it outlives a failed test."""
    quick = (f"rollout.port={port}", "rollout.enforce_eager=true", "rollout.gpu_memory_utilization=0.3",
             "rollout.ready_timeout_s=300")  # fmt: skip
    serve = runs.start(["serve", *arguments, *quick], folder, PYTHONPATH=str(ROOT), **variables)
    try:
        yield serve
    finally:
        if serve.poll() is None:
            for process in [*psutil.Process(serve.pid).children(recursive=True), serve]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        serve.communicate()


def told_until_ready(serve: subprocess.Popen[str]) -> str:
    """What `igrpo serve` prints until it is ready, or all that it said where it ended before."""
    assert serve.stdout is not None
    told = []
    for line in serve.stdout:
        told.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(told)


def end_by_sigterm(serve: subprocess.Popen[str]) -> int:
    """End it, and check that nothing of it is left; returns how many processes it had started."""
    started = psutil.Process(serve.pid).children(recursive=True)
    serve.send_signal(signal.SIGTERM)
    assert serve.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert wait_ended(started, DEADLINE_S) == []
    return len(started)
