"""Pool of worker processes that can be killed, which is the only safe way to run computer algebra on model output.

Two lanes keep slow comparisons from delaying ordinary ones. Each comparison starts in the first lane. After
SUSPECT_AFTER_CPU_S of CPU time it continues at a lower priority, and the next comparison may start in parallel. After
SLOW_AFTER_CPU_S it is killed and queued for the second lane, where it starts again with the whole CPU limit at the
lowest priority. Per worker there are at most two processes in the first lane and one in the second. There is one fork
server in all. Time in a queue does not count towards any limit.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from igrpo.rewards.math.fork_server import ForkServer, VerifierStartError, WorkerLostError
from igrpo.rewards.math.processes import Limits, WorkerProcess, WorkerReply
from igrpo.types import Outcome

__all__ = [
    "SLOW_AFTER_CPU_S", "SUSPECT_AFTER_CPU_S", "Limits", "PoolClosedError", "VerifierStartError", "WorkerPool",
    "WorkerReply",
]  # fmt: skip

#: Nine in ten answers need less.
SUSPECT_AFTER_CPU_S = 0.05
#: Nearly every answer needs less (99 % of the test cases: at most 0.17). The CPU limit is far higher.
SLOW_AFTER_CPU_S = 0.2
#: Next to an ordinary process, these get a third and a tenth of its share of a processor.
_SUSPECT_NICENESS, _SLOW_NICENESS = 5, 10


class PoolClosedError(RuntimeError):
    """The pool was closed before the comparison began."""


@dataclass(frozen=True, slots=True)
class _Job:
    request: dict[str, Any]
    reply: Future[WorkerReply]


@dataclass(slots=True)
class _Lane:
    """Queue, the threads that serve it, and the idle processes. ``next`` is the lane for comparisons that are too slow.

    ``turns`` limits the running comparisons that are not yet suspect; there may be more threads than turns.
    """

    cpu_limit_s: float
    niceness: int
    turns: threading.Semaphore
    most_threads: int
    next: _Lane | None = None
    jobs: SimpleQueue[_Job | None] = field(default_factory=SimpleQueue)
    threads: list[threading.Thread] = field(default_factory=list)
    free_threads: int = 0
    idle: list[WorkerProcess] = field(default_factory=list)


class WorkerPool:
    """Pool of processes that start when first needed and are shared by any number of threads and event loops."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self._workers, self._limits = workers, limits
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._lock, self._starting = threading.RLock(), threading.RLock()  # the second is held for a long time
        self._server: ForkServer | None = None
        self._started: set[WorkerProcess] = set()
        workers, cpu_s = self._workers, self._limits.cpu_s
        if cpu_s <= SLOW_AFTER_CPU_S:
            self._lanes = [_Lane(cpu_s, 0, threading.Semaphore(workers), workers)]
            return
        slow = _Lane(cpu_s, _SLOW_NICENESS, threading.Semaphore(workers), workers)
        self._lanes = [_Lane(SLOW_AFTER_CPU_S, 0, threading.Semaphore(workers), 2 * workers, next=slow), slow]

    def ask(self, request: dict[str, Any]) -> Outcome:
        """Run one comparison in a free worker; block while all are busy."""
        return self.submit(request).result().outcome

    def submit(self, request: dict[str, Any]) -> Future[WorkerReply]:
        """Queue one comparison.

        Raises:
            PoolClosedError: the pool is closed. If it is closed later, the Future raises this error. The Future raises
                VerifierStartError if the processes do not start.
        """
        if self._owner != os.getpid():  # after a fork the workers, connections and threads belong to the parent
            self._reset()
        job = _Job(request, Future())
        self._put(self._lanes[0], job)
        return job.reply

    def _put(self, lane: _Lane, job: _Job) -> None:
        with self._lock:
            self._check_open()
            lane.jobs.put(job)
            if lane.free_threads >= lane.jobs.qsize() or len(lane.threads) == lane.most_threads:
                return
            thread = threading.Thread(target=self._serve, args=(lane,), name="verifier", daemon=True)
            lane.threads.append(thread)
            thread.start()

    def _serve(self, lane: _Lane) -> None:
        while True:
            with self._lock:
                lane.free_threads += 1
            job = lane.jobs.get()
            with self._lock:
                lane.free_threads -= 1
            if job is None:
                return
            if not job.reply.running() and not job.reply.set_running_or_notify_cancel():
                continue
            try:
                reply = self._compare(lane, job.request)
                if reply.outcome == "timed_out" and lane.next is not None:
                    self._put(lane.next, job)
                else:
                    job.reply.set_result(reply)
            except Exception as error:
                job.reply.set_exception(error)

    def _compare(self, lane: _Lane, request: dict[str, Any]) -> WorkerReply:
        lane.turns.acquire()
        suspect = False

        def watch(used_s: float) -> None:
            nonlocal suspect
            if lane.next is not None and used_s > SUSPECT_AFTER_CPU_S and not suspect:
                suspect = True
                process.give_way(_SUSPECT_NICENESS)
                lane.turns.release()

        try:
            process = self._worker(lane)
            reply = process.ask(request, lane.cpu_limit_s, watch)
            if suspect or not process.alive:  # a priority cannot be raised again
                process.kill()
            else:
                lane.idle.append(process)
            return reply
        finally:
            if not suspect:
                lane.turns.release()

    def _worker(self, lane: _Lane) -> WorkerProcess:
        """Return the idle process that was used last, since its caches are warm; a new one if none is idle."""
        while process := self._popped(lane):
            if process.alive:
                return process
            process.kill()
        with self._starting:
            try:
                fresh = WorkerProcess(self._living_server(), self._limits, lane.niceness)
            except WorkerLostError:  # the server was killed, perhaps for its memory
                fresh = WorkerProcess(self._living_server(), self._limits, lane.niceness)
        with self._lock:
            self._started = {old for old in self._started if old.alive} | {fresh}
        return fresh

    def _living_server(self) -> ForkServer:
        self._check_open()
        if self._server is None or not self._server.alive:
            if self._server is not None:
                self._server.close()
            self._server = ForkServer(self._limits.memory_mb)
        return self._server

    def _popped(self, lane: _Lane) -> WorkerProcess | None:
        with self._lock:
            return lane.idle.pop() if lane.idle else None

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
        for lane in self._lanes:
            while process := self._popped(lane):
                process.kill()
