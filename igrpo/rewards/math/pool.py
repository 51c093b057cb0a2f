"""Worker processes that can be killed: the only safe way to run a computer algebra system on what a model wrote.

The verdict ``timed_out`` depends on the CPU time that a worker used, never on the clock on the wall, so a busy
machine gives the same verdicts as an idle one. The parent reads that time from outside, since one ``9**9**9`` holds
the interpreter lock and lets no thread of the worker run.
"""

from __future__ import annotations

import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil

import igrpo
from igrpo.rewards.math import worker
from igrpo.types import Outcome

_POLL_S = 0.05
_START_WALL_S = 120.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one comparison may use: CPU seconds (decides ``timed_out``), wall seconds and memory (``crashed``).

    Raises:
        ValueError: a limit that no worker could keep, or that would let the load of the machine decide.
    """

    cpu_s: float
    wall_s: float
    memory_mb: int

    def __post_init__(self) -> None:
        if self.cpu_s <= 0:
            raise ValueError(f"cpu_limit_s={self.cpu_s}: must be above 0")
        if self.wall_s < 2 * self.cpu_s:
            raise ValueError(
                f"wall_limit_s={self.wall_s}: must be at least twice cpu_limit_s={self.cpu_s}, or load decides"
            )
        if self.memory_mb < 128:
            raise ValueError(f"memory_limit_mb={self.memory_mb}: a worker needs 128 to work")


@dataclass(frozen=True, slots=True)
class _DeathError(Exception):
    outcome: Outcome


class WorkerProcess:
    """One worker and its pipes. Not thread-safe: one request at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        roots = [str(Path(igrpo.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, roots)),
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",  # the order of symbolic work, and so its cost, is the same in every worker
        }
        # -P: a file of the user's working directory must not stand in for a module of ours.
        command = [sys.executable, "-P", "-m", "igrpo.rewards.math.worker", str(limits.memory_mb)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests, self._replies = self.process.stdin, self.process.stdout
        self._watched = psutil.Process(self.process.pid)
        self._ready = False

    def ask(self, request: dict[str, Any]) -> Outcome:
        """The verdict of one comparison; after anything but a verdict the worker is dead."""
        try:
            if not self._ready:
                self._receive(cpu_limit_s=None, wall_limit_s=_START_WALL_S)
                self._ready = True
            worker.write_message(self._requests, request | {"last_resort_s": self._limits.cpu_s + 5})
            reply = self._receive(self._limits.cpu_s, self._limits.wall_s)
        except _DeathError as death:
            self.kill()
            return death.outcome
        except (OSError, ValueError, psutil.NoSuchProcess):  # the pipe broke: killed from outside, or never came up
            self.kill()
            return "crashed"
        # It may have answered just before the next look at its clock: the time it reports decides, not that race.
        return "timed_out" if reply["cpu_s"] > self._limits.cpu_s else cast(Outcome, reply["verdict"])

    def _receive(self, cpu_limit_s: float | None, wall_limit_s: float) -> dict[str, Any]:
        started_s, started_cpu_s = time.monotonic(), self._cpu_s()
        poller = select.poll()
        poller.register(self._replies, select.POLLIN | select.POLLHUP)
        while not poller.poll(_POLL_S * 1000):
            if cpu_limit_s is not None and self._cpu_s() - started_cpu_s > cpu_limit_s:
                raise _DeathError("timed_out")
            over_memory = self._watched.memory_info().rss > self._limits.memory_mb * 2**20
            if over_memory or time.monotonic() - started_s > wall_limit_s:
                raise _DeathError("crashed")
        reply = worker.read_message(self._replies)
        if reply is None:
            raise _DeathError("crashed")
        return reply

    def _cpu_s(self) -> float:
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process, reap it, close its pipes. Safe to call twice."""
        self.process.kill()
        self.process.wait()
        for stream in (self._requests, self._replies):
            try:
                stream.close()
            except BrokenPipeError:  # an unsent request in the buffer; nobody waits for it
                continue


class WorkerPool:
    """``workers`` processes, started when first needed, shared by any number of threads and event loops."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self._workers, self._limits = workers, limits
        self._lock = threading.Lock()
        self._owner = -1
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._idle: queue.LifoQueue[WorkerProcess | None] = queue.LifoQueue()
        self._started: set[WorkerProcess] = set()
        for _ in range(self._workers):
            self._idle.put(None)

    def ask(self, request: dict[str, Any]) -> Outcome:
        """Run one comparison in a free worker; blocks while all are busy."""
        with self._worker() as process:
            return process.ask(request)

    @contextmanager
    def _worker(self) -> Iterator[WorkerProcess]:
        if self._owner != os.getpid():  # after a fork the workers, their pipes and the locks are the parent's
            self._reset()
        if self._closed:
            raise RuntimeError("the verifier is closed")
        idle = self._idle
        process = idle.get()
        try:
            if process is None or not process.alive:
                process = self._replace(process)
            yield process
        finally:
            idle.put(process)

    def _replace(self, dead: WorkerProcess | None) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise RuntimeError("the verifier is closed")
            if dead is not None:
                dead.kill()
                self._started.discard(dead)
            fresh = WorkerProcess(self._limits)
            self._started.add(fresh)
            return fresh

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers."""
        with self._lock:
            return [process.process.pid for process in self._started if process.alive]

    def close(self) -> None:
        """Kill every worker; a comparison in flight ends as ``crashed``. Safe to call twice."""
        if self._owner != os.getpid():
            return
        with self._lock:
            self._closed = True
            for process in self._started:
                process.process.kill()
            # Pipes are closed by their owners' next look at a dead worker, or here when nobody uses them.
            idle = [self._idle.get_nowait() for _ in range(self._idle.qsize())]
            for unused in idle:
                if unused is not None:
                    unused.kill()
                    self._started.discard(unused)
                self._idle.put(None)  # wakes who still waits for a worker
            for process in self._started:
                process.process.wait()
