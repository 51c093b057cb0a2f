"""Parent side of a worker of the verifier: sends it comparisons, monitors its CPU time, and stops it.

The verdict ``timed_out`` depends on the CPU time of a worker, never on wall-clock time, so a busy machine gives the
same verdicts as an idle one. The parent process reads the CPU time, since a computation like ``9**9**9`` holds the
interpreter lock, so that no thread of the worker can run.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from igrpo.processes import wait_ended
from igrpo.rewards.math import worker
from igrpo.rewards.math.fork_server import ForkServer
from igrpo.types import Outcome

_POLL_S = 0.05
_SHORTEST_POLL_S = 0.01  # the resolution of the operating system's CPU times
_KILLED_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one comparison: CPU seconds (exceeded: ``timed_out``), seconds asleep and memory (``crashed``).

    Raises:
        ValueError: a limit is too low for any worker, or would make the outcome depend on the load of the machine.
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
class WorkerReply:
    """Outcome of one comparison. ``error`` may give the reason if there is no verdict."""

    outcome: Outcome
    error: str = ""


@dataclass(frozen=True, slots=True)
class _StoppedError(Exception):
    reply: WorkerReply


class WorkerProcess:
    """Worker and the connection to it. Not thread-safe: one request at a time. Raises WorkerLostError."""

    def __init__(self, server: ForkServer, limits: Limits, niceness: int) -> None:
        self._server, self._limits = server, limits
        self._socket, theirs = socket.socketpair()
        try:
            with theirs:
                self.pid = server.fork(theirs, niceness)
            self._watched = psutil.Process(self.pid)
        except BaseException:
            self._socket.close()
            raise

    def ask(
        self, request: dict[str, Any], cpu_limit_s: float, on_use: Callable[[float], object] = float
    ) -> WorkerReply:
        """Run one comparison and return its outcome.

        The outcome is ``timed_out`` if it used more than ``cpu_limit_s`` of CPU time. The worker is killed if the
        comparison was stopped. ``on_use`` is called repeatedly with the CPU seconds used so far.
        """
        try:
            worker.send(self._socket, request | {"last_resort_s": cpu_limit_s + 5})
            reply = self._receive(cpu_limit_s, on_use)
            if reply is None:
                return WorkerReply("crashed", f"the worker ended by itself: {_cause(self.kill())}")
            # A worker may answer late but before the next check of its CPU time: the time that it reports decides.
            late = reply["cpu_s"] > self._limits.cpu_s
            return WorkerReply("timed_out") if late else WorkerReply(reply["verdict"], reply["error"])
        except _StoppedError as stopped:
            self.kill()
            return stopped.reply
        except Exception as error:  # the connection broke, or the reply was invalid
            return WorkerReply("crashed", f"{worker.described(error)}; {_cause(self.kill())}")

    def _receive(self, cpu_limit_s: float, on_use: Callable[[float], object]) -> dict[str, Any] | None:
        started_cpu_s, used_s, asleep_s = self._cpu_s(), 0.0, 0.0
        poller = select.poll()
        poller.register(self._socket, select.POLLIN | select.POLLHUP)
        last_look_s = time.monotonic()
        while not poller.poll(min(_POLL_S, max(_SHORTEST_POLL_S, cpu_limit_s - used_s)) * 1000):
            with self._watched.oneshot():
                used_s = self._cpu_s() - started_cpu_s
                wants_cpu = self._watched.status() == psutil.STATUS_RUNNING
                over_memory = self._watched.memory_info().rss > self._limits.memory_mb * 2**20
            on_use(used_s)
            if used_s > cpu_limit_s:
                raise _StoppedError(WorkerReply("timed_out"))
            if over_memory:
                raise _StoppedError(WorkerReply("crashed", f"memory_limit_mb={self._limits.memory_mb} exceeded"))
            now_s = time.monotonic()
            # Waiting for a processor depends on the load of the machine, so only sleep counts.
            asleep_s += 0.0 if wants_cpu else now_s - last_look_s
            last_look_s = now_s
            if asleep_s > self._limits.wall_s:
                raise _StoppedError(
                    WorkerReply("crashed", f"asleep for longer than wall_limit_s={self._limits.wall_s}")
                )
        return worker.receive(self._socket)

    def _cpu_s(self) -> float:
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def give_way(self, niceness: int) -> None:
        """Lower the priority of the process permanently."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._watched.nice(niceness)

    @property
    def alive(self) -> bool:
        if self._socket.fileno() < 0:
            return False
        poller = select.poll()
        poller.register(self._socket, select.POLLHUP)
        return not poller.poll(0)

    def kill(self) -> int | None:
        """Kill and reap the process, and close the connection. Safe to call twice.

        Returns its wait status, None if it is not known.
        """
        if self._socket.fileno() < 0:
            return None
        self._socket.close()
        status = self._server.end(self.pid)
        if status is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._watched.kill()
            wait_ended([self._watched], _KILLED_WITHIN_S)
        return status


def _cause(status: int | None) -> str:
    if status is None:
        return "its status is not known"
    code = os.waitstatus_to_exitcode(status)
    if code == worker.EXIT_OUT_OF_MEMORY:
        return "out of memory"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
