"""A pool of worker processes that can be killed: the only safe way to run a computer algebra system on model output.

Two lanes keep slow comparisons out of the way of ordinary ones. Each comparison starts in the first lane; one that
has used SLOW_AFTER_CPU_S of CPU time there is killed and queued for the second, where it starts again with the whole
CPU limit. Either lane has ``workers`` processes, so there are at most twice as many, and the fork server. Processes of
the second lane run at a lower priority. Time in a queue counts towards no limit.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from igrpo.rewards.math.processes import ForkServer, Limits, Reply, WorkerProcess
from igrpo.types import Outcome

__all__ = ["SLOW_AFTER_CPU_S", "Limits", "PoolClosedError", "Reply", "WorkerPool"]

#: Above what nearly every answer needs (99 % of the test cases: 0.17), far below what a hopeless one is given.
SLOW_AFTER_CPU_S = 0.2
#: A tenth of the weight of an ordinary process, where both want the same processor.
_SLOW_NICENESS = 10


class PoolClosedError(RuntimeError):
    """The pool was closed before the comparison began."""


@dataclass(frozen=True, slots=True)
class _Job:
    request: dict[str, Any]
    reply: Future[Reply]


@dataclass(slots=True)
class _Lane:
    """A queue and the threads that serve it, each with a process of its own. ``next`` takes what is too slow."""

    cpu_limit_s: float
    niceness: int = 0
    next: _Lane | None = None
    jobs: SimpleQueue[_Job | None] = field(default_factory=SimpleQueue)
    threads: list[threading.Thread] = field(default_factory=list)
    free: int = 0


class WorkerPool:
    """``workers`` processes per lane, started when first needed, shared by any number of threads and event loops."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self._workers, self._limits = workers, limits
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._lock, self._starting = threading.RLock(), threading.RLock()  # the second is held for long
        self._server: ForkServer | None = None
        self._started: set[WorkerProcess] = set()
        self._lanes = [_Lane(self._limits.cpu_s)]
        if self._limits.cpu_s > SLOW_AFTER_CPU_S:
            self._lanes[0].niceness = _SLOW_NICENESS
            self._lanes.insert(0, _Lane(SLOW_AFTER_CPU_S, next=self._lanes[0]))

    def ask(self, request: dict[str, Any]) -> Outcome:
        """Run one comparison in a free worker; blocks while all are busy."""
        return self.submit(request).result().outcome

    def submit(self, request: dict[str, Any]) -> Future[Reply]:
        """Queue one comparison. Raises PoolClosedError, as the Future does when the pool is closed meanwhile."""
        if self._owner != os.getpid():  # after a fork the workers, their connections and the threads are the parent's
            self._reset()
        job = _Job(request, Future())
        self._put(self._lanes[0], job)
        return job.reply

    def _put(self, lane: _Lane, job: _Job) -> None:
        with self._lock:
            self._check_open()
            lane.jobs.put(job)
            if lane.free >= lane.jobs.qsize() or len(lane.threads) == self._workers:
                return
            thread = threading.Thread(target=self._serve, args=(lane,), name="verifier", daemon=True)
            lane.threads.append(thread)
            thread.start()

    def _serve(self, lane: _Lane) -> None:
        process: WorkerProcess | None = None
        while True:
            with self._lock:
                lane.free += 1
            job = lane.jobs.get()
            with self._lock:
                lane.free -= 1
            if job is None:
                break
            if not job.reply.running() and not job.reply.set_running_or_notify_cancel():
                continue
            try:
                process = self._living(process, lane.niceness)
                reply = process.ask(job.request, lane.cpu_limit_s)
                if reply.outcome == "timed_out" and lane.next is not None:
                    self._put(lane.next, job)
                else:
                    job.reply.set_result(reply)
            except Exception as error:
                job.reply.set_exception(error)
        if process is not None:
            process.kill()

    def _living(self, process: WorkerProcess | None, niceness: int) -> WorkerProcess:
        """The process itself, or a new one in its place."""
        self._check_open()
        if process is not None:
            if process.alive:
                return process
            process.kill()
        with self._starting:
            self._check_open()
            if self._server is None or not self._server.alive:
                if self._server is not None:
                    self._server.close()
                self._server = ForkServer(self._limits.memory_mb)
            fresh = WorkerProcess(self._server, self._limits, niceness)
        with self._lock:
            self._started = {old for old in self._started if old.alive} | {fresh}
        return fresh

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosedError("the verifier is closed")

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers."""
        with self._lock:
            return [process.pid for process in self._started if process.alive]

    def close(self) -> None:
        """Kill every worker; a comparison in flight ends as ``crashed``. Safe to call twice."""
        if self._owner != os.getpid():
            return
        with self._lock:
            self._closed = True
            threads = [(lane, thread) for lane in self._lanes for thread in lane.threads]
            for lane, _ in threads:
                lane.jobs.put(None)
        with self._starting:
            if self._server is not None:
                self._server.close()
        for _, thread in threads:
            if thread is not threading.current_thread():  # the garbage collector may run this anywhere
                thread.join()
