"""Parent side of the verifier's processes: starts and stops the fork server, and monitors and stops workers.

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
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from igrpo.rewards.math import worker
from igrpo.types import Outcome

#: Directory that contains the package. `igrpo.__file__` is None if the working directory has a folder named igrpo.
_ROOT = Path(__file__).resolve().parents[3]
_POLL_S = 0.05
_SHORTEST_POLL_S = 0.01  # the resolution of the operating system's CPU times
_START_WALL_S = 120.0


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


class WorkerLostError(RuntimeError):
    """A process has ended, or did not start."""


@dataclass(frozen=True, slots=True)
class _StoppedError(Exception):
    reply: WorkerReply


class ForkServer:
    """Process that workers are forked from. Thread-safe.

    Raises:
        WorkerLostError: the process did not start.
    """

    def __init__(self, memory_mb: int) -> None:
        roots = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, roots)),
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",  # same order, and cost, of symbolic operations in every worker
        }
        self._lock = threading.Lock()
        self._lost = False
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_START_WALL_S)
        # -P: a file in the working directory must not shadow one of our modules.
        command = [sys.executable, "-P", "-m", "igrpo.rewards.math.worker", str(theirs.fileno()), str(memory_mb)]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        try:
            started = worker.receive(self._socket)
        except OSError as error:
            started = {"error": worker.described(error)}
        if started is None or started["error"]:
            self.close()
            why = started["error"] if started else f"exit code {self._process.returncode}"
            raise WorkerLostError(f"the verifier's processes do not start: {why}")

    @property
    def alive(self) -> bool:
        return not self._lost and self._process.poll() is None

    def fork(self, connection: socket.socket, niceness: int) -> int:
        """Fork a worker that serves ``connection`` and return its process id. Raises WorkerLostError."""
        return self._ordered(worker.FORK, niceness, connection)

    def end(self, pid: int) -> int | None:
        """Kill and reap a worker; return its wait status, None if the server (and so all its workers) has ended."""
        with contextlib.suppress(WorkerLostError):
            return self._ordered(pid)
        return None

    def _ordered(self, pid: int, niceness: int = 0, connection: socket.socket | None = None) -> int:
        order = worker.ORDER.pack(pid, niceness)
        try:
            with self._lock:
                socket.send_fds(self._socket, [order], [] if connection is None else [connection.fileno()])
                reply = worker.receive_exactly(self._socket, worker.ORDER.size)
        except OSError as error:
            self._lost = True  # a late reply would be taken for the reply to the next order
            raise WorkerLostError(f"the verifier's fork server does not answer: {worker.described(error)}") from error
        if reply is None:
            self._lost = True
            raise WorkerLostError("the verifier's fork server has ended")
        return int(worker.ORDER.unpack(reply)[0])

    def close(self) -> None:
        """Stop the server and all its workers. Safe to call twice."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # works even if a forked process holds a copy of it
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._socket.close()


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
        return status


def _cause(status: int | None) -> str:
    if status is None:
        return "its status is not known"
    code = os.waitstatus_to_exitcode(status)
    if code == worker.EXIT_OUT_OF_MEMORY:
        return "out of memory"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
