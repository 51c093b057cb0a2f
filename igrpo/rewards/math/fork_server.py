"""Parent side of the verifier's fork server: starts it, has it fork and reap workers, and stops it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from igrpo.rewards.base import RewardError
from igrpo.rewards.math import worker

#: Directory that contains the package. `igrpo.__file__` is None if the working directory has a folder named igrpo.
_ROOT = Path(__file__).resolve().parents[3]
_START_WALL_S = 120.0


class WorkerLostError(RuntimeError):
    """A process has ended."""


class VerifierStartError(RewardError):
    """The fork server does not start, so that no answer can be compared: the run has to stop."""


class ForkServer:
    """Process that workers are forked from. Thread-safe.

    Raises:
        VerifierStartError: the process did not start.
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
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                )
        except OSError as error:
            self._socket.close()
            raise _start_error(worker.described(error), memory_mb) from error
        try:
            started = worker.receive(self._socket)
        except OSError as error:
            started = {"error": worker.described(error)}
        if started is None or started["error"]:
            self.close()
            raise _start_error(started["error"] if started else f"exit code {self._process.returncode}", memory_mb)

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


def _start_error(reason: str, memory_mb: int) -> VerifierStartError:
    return VerifierStartError(
        f"the rule-based verifier's fork server does not start ({reason}), so no answer can be compared; see that "
        f"{sys.executable} runs, and that memory_limit_mb={memory_mb} is enough"
    )
