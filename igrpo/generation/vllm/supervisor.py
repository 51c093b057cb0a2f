"""A server process that is started, watched, restarted when it fails, and stopped at the end."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from igrpo.generation.vllm import guard
from igrpo.generation.vllm.health import is_healthy
from igrpo.processes import members_of_group, wait_ended

log = logging.getLogger(__name__)

_POLL_S = 0.2
_BACK_OFF_S = (0.5, 2.0, 8.0, 30.0)
_LOG_LINES = 25
#: Seconds that the kernel may take to end killed processes.
_KILLED_WITHIN_S = 10.0


class ServerError(RuntimeError):
    """The server is not running, and will not be started again."""


class Supervisor:
    """Runs ``command`` until ``close``, and restarts it if it ends by itself.

    Gives up after ``max_restarts`` consecutive restarts that did not become healthy. No child process survives this
    process, however it ends (see `igrpo.generation.vllm.guard`). Use it as a context manager, or call ``close``.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        url: str,
        log_file: Path,
        ready_timeout_s: float,
        max_restarts: int,
    ) -> None:
        """Start the server; ``wait_ready`` waits for it.

        Args:
            url: address of the server; ``/health`` below it answers 200 when the server is ready.
            log_file: file to which the server's output is appended.
            ready_timeout_s: how long a start may take before it counts as failed.
        """
        self.url = url
        self._command, self._environment = list(command), dict(environment)
        self._log_file = log_file
        self._ready_timeout_s, self._max_restarts = ready_timeout_s, max_restarts
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._healthy = False
        self._failure: str | None = None
        self._closing = threading.Event()
        log_file.parent.mkdir(parents=True, exist_ok=True)
        atexit.register(self.close)
        self._thread = threading.Thread(target=self._run, name="igrpo-vllm-supervisor", daemon=True)
        self._thread.start()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def failure(self) -> str | None:
        """Reason why the supervisor gave up; None while a server runs or is being started."""
        return self._failure

    def wait_ready(self) -> None:
        """Wait until the server answers.

        Raises:
            ServerError: the supervisor gave up; includes the last lines of the server's log.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._healthy or self._failure is not None)
            if self._failure is not None:
                raise ServerError(self._failure)

    def wait(self) -> None:
        """Watch the server until the supervisor gives up; never returns normally.

        Raises:
            ServerError: reason for giving up.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._failure is not None, 1.0)  # a timeout, so that signals are handled
                if self._failure is not None:
                    raise ServerError(self._failure)

    def close(self) -> None:
        """Stop the server and all processes that it started. Safe to call twice."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        atexit.unregister(self.close)

    def _run(self) -> None:
        try:
            self._keep_running()
        except Exception as error:  # nothing joins this thread: pass the error to those who wait for the server
            self._fail(f"the vLLM server cannot be watched ({type(error).__name__}: {error})")
            raise

    def _keep_running(self) -> None:
        failures = 0
        while not self._closing.is_set():
            process = self._start()
            try:
                if self._await_health(process):
                    failures = 0
                    self._set(healthy=True)
                    self._await_end(process)
                    self._set(healthy=False)
                code = process.poll()
            finally:
                stop_group(process)
            if self._closing.is_set():
                return
            failures += 1
            if failures > self._max_restarts:
                how = "did not get ready" if code is None else "ended by itself"
                self._fail(f"the vLLM server {how}, {failures} times in a row")
                return
            self._closing.wait(_BACK_OFF_S[min(failures, len(_BACK_OFF_S)) - 1])

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log_file.open("ab") as log_file:
            process = subprocess.Popen(
                [sys.executable, guard.__file__, *self._command],
                env=self._environment,
                stdin=subprocess.PIPE,  # never written to: it closes when this process ends
                stdout=log_file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._process = process
        return process

    def _await_health(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + self._ready_timeout_s
        while time.monotonic() < deadline and process.poll() is None and not self._closing.is_set():
            if is_healthy(self.url, timeout_s=5):
                return True
            self._closing.wait(_POLL_S)
        return False

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None and not self._closing.is_set():
            self._closing.wait(_POLL_S)

    def _set(self, *, healthy: bool) -> None:
        with self._changed:
            self._healthy = healthy
            self._changed.notify_all()

    def _fail(self, text: str) -> None:
        with self._changed:
            self._failure = self._with_log(text)
            self._changed.notify_all()

    def _with_log(self, text: str) -> str:
        content = self._log_file.read_bytes()[-20_000:].decode(errors="replace")
        lines = content.splitlines()[-_LOG_LINES:]
        return "\n".join([f"{text}; the end of {self._log_file}:", *(f"  {line}" for line in lines)])


def stop_group(process: subprocess.Popen[bytes], patience_s: float = 10.0) -> None:
    """Send SIGTERM to the leader's process group, then SIGKILL to what is left, and wait until all have ended.

    ``process`` leads the session.
    """
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what the leader left behind
        if left := wait_ended(members_of_group(process.pid), _KILLED_WITHIN_S):
            log.warning("killed %.0f s ago and still not ended: processes %s", _KILLED_WITHIN_S, [p.pid for p in left])
    assert process.stdin is not None
    process.stdin.close()


def free_port(host: str) -> int:
    """Return a port of ``host`` that is not in use now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
