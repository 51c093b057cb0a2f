"""Workers that hang, die, eat memory or are stopped: the verdict is honest and the next one is right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import NoneType
from typing import Any

import psutil
import pytest

from igrpo.processes import is_alive, wait_ended
from igrpo.rewards.math.pool import Limits, PoolClosedError, WorkerPool, WorkerReply
from igrpo.types import Outcome

SLOW = r"\prod_{k=1}^{1000000}k"
CONVENTIONS = {"percent": "any", "base_subscript": "optional", "unevaluated": "accepted"}


def request(gold: str, answer: str) -> dict[str, Any]:
    return {"gold": gold, "answer": answer, "conventions": CONVENTIONS}


@pytest.fixture(scope="module")
def shared() -> Iterator[WorkerPool]:
    pool = WorkerPool(1, Limits(cpu_s=1.0, wall_s=60, memory_mb=1024))
    assert pool.ask(request("x+1", "1+x")) == "right"
    yield pool
    pool.close()


def in_thread(pool: WorkerPool, job: dict[str, Any]) -> tuple[threading.Thread, list[Outcome]]:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(pool.ask(job)))
    thread.start()
    return thread, outcomes


def test_a_worker_that_hangs_is_killed_and_replaced(shared: WorkerPool) -> None:
    before = shared.pids
    assert shared.ask(request("9", SLOW)) == "timed_out"
    assert shared.ask(request(r"\frac{x}{2}", "0.5x")) == "right"
    assert shared.pids != before
    assert not psutil.pid_exists(before[0])


def test_time_asleep_does_not_count_as_cpu_time(shared: WorkerPool) -> None:
    (pid,) = shared.pids
    os.kill(pid, signal.SIGSTOP)
    thread, outcomes = in_thread(shared, request("(a+b)^2", "a^2+2ab+b^2"))
    time.sleep(1.5)  # longer than the limit on CPU time
    assert outcomes == []
    os.kill(pid, signal.SIGCONT)
    thread.join(timeout=30)
    assert outcomes == ["right"]
    assert shared.pids == [pid]


def test_a_worker_killed_while_comparing_is_a_crash(shared: WorkerPool) -> None:
    (pid,) = shared.pids
    os.kill(pid, signal.SIGSTOP)  # so that the request is surely in flight
    thread, outcomes = in_thread(shared, request("2x", "x+x"))
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    thread.join(timeout=30)
    assert outcomes == ["crashed"]
    assert shared.ask(request("2x", "x+x")) == "right"


def test_a_worker_killed_while_idle_is_replaced(shared: WorkerPool) -> None:
    (pid,) = shared.pids
    worker = psutil.Process(pid)
    worker.kill()
    assert wait_ended([worker], 5) == []
    assert shared.ask(request("2y", "y+y")) == "right"


def test_the_memory_limit_is_a_crash_of_the_worker_alone() -> None:
    pool = WorkerPool(1, Limits(cpu_s=60, wall_s=120, memory_mb=128))
    try:
        assert pool.ask(request("1", "x" * 80_000_000)) == "crashed"
        assert pool.ask(request("2y", "y+y")) == "right"
    finally:
        pool.close()


def test_the_wall_clock_is_a_backstop_that_counts_as_a_crash() -> None:
    pool = WorkerPool(1, Limits(cpu_s=0.5, wall_s=1.0, memory_mb=1024))
    try:
        assert pool.ask(request("2y", "y+y")) == "right"
        os.kill(pool.pids[0], signal.SIGSTOP)
        assert pool.ask(request("3y", "y+2y")) == "crashed"
    finally:
        pool.close()


def test_closing_leaves_no_process_and_no_open_file(shared: WorkerPool) -> None:
    files, children = psutil.Process().num_fds(), len(psutil.Process().children())
    pool = WorkerPool(2, Limits(cpu_s=5, wall_s=60, memory_mb=1024))
    threads = [in_thread(pool, request("2y", f"y+{i}y"))[0] for i in (1, 2, 3)]
    for thread in threads:
        thread.join()
    assert len(pool.pids) == 2
    pool.close()
    pool.close()
    assert (psutil.Process().num_fds(), len(psutil.Process().children())) == (files, children)
    with pytest.raises(RuntimeError, match="closed"):
        pool.ask(request("1", "x"))


def test_closing_ends_a_comparison_in_flight() -> None:
    pool = WorkerPool(1, Limits(cpu_s=60, wall_s=120, memory_mb=1024))
    assert pool.ask(request("2y", "y+y")) == "right"
    thread, outcomes = in_thread(pool, request("9", SLOW))
    time.sleep(0.2)
    pool.close()
    thread.join(timeout=10)
    assert outcomes == ["crashed"]


PARENT = """
import os, signal, sys
from igrpo.rewards.math.pool import Limits, WorkerPool
pool = WorkerPool(1, Limits(cpu_s=500, wall_s=1000, memory_mb=1024))
asked = {"gold": "2y", "conventions": {"percent": "any", "base_subscript": "optional", "unevaluated": "rejected"}}
pool.ask(asked | {"answer": "y+y"})
if sys.argv[1]:
    pool.submit(asked | {"answer": sys.argv[1]})
print(pool.pids[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("in_flight", ["", SLOW], ids=["idle", "comparing"])
def test_a_worker_ends_with_its_parent(in_flight: str) -> None:
    command = [sys.executable, "-c", PARENT, in_flight]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    worker = int(done.stdout)
    assert wait_ended([psutil.Process(worker)] if psutil.pid_exists(worker) else [], 10) == []


def slow_ones(pool: WorkerPool, count: int) -> list[Future[WorkerReply]]:
    return [pool.submit(request("9", SLOW.replace("1000000", str(1_000_000 + i)))) for i in range(count)]


def test_slow_comparisons_do_not_hold_up_ordinary_ones() -> None:
    pool = WorkerPool(1, Limits(cpu_s=100, wall_s=200, memory_mb=1024))
    slow = slow_ones(pool, 4)
    assert [pool.ask(request("2y", f"y+{i}y")) for i in (1, 2, 3)] == ["right", "wrong", "wrong"]
    assert not any(job.done() for job in slow)  # they have 100 seconds of CPU time each
    assert len(pool.pids) <= 3  # two of the first lane and one of the second, however many are slow
    niceness = sorted(psutil.Process(pid).nice() for pid in pool.pids)
    assert niceness[-1] > psutil.Process().nice()
    assert niceness[0] == psutil.Process().nice()
    pool.close()
    assert {type(job.exception()) for job in slow} <= {NoneType, PoolClosedError}


def test_waiting_for_the_slow_lane_counts_towards_no_limit() -> None:
    pool = WorkerPool(1, Limits(cpu_s=0.4, wall_s=0.8, memory_mb=1024))
    try:
        slow = slow_ones(pool, 4)  # the last one waits for three others, of 0.4 seconds each
        assert [job.result().outcome for job in slow] == ["timed_out"] * 4
    finally:
        pool.close()


def test_waiting_for_a_processor_is_not_sleep() -> None:
    pool = WorkerPool(1, Limits(cpu_s=0.2, wall_s=0.4, memory_mb=1024))
    assert pool.ask(request("2y", "y+y")) == "right"
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        assert pool.ask(request("9", SLOW)) == "timed_out"  # after about a second on the wall
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
        pool.close()


def test_a_worker_survives_an_exception_in_a_comparison(shared: WorkerPool) -> None:
    assert shared.ask(request("2y", "y+y")) == "right"
    before = shared.pids
    reply = shared.submit(request("2y", "y+y") | {"conventions": {"percent": "sometimes"}}).result()
    assert (reply.outcome, reply.error[:9]) == ("crashed", "TypeError")
    assert shared.ask(request("2y", "y+y")) == "right"
    assert shared.pids == before


def test_a_request_that_cannot_be_sent_crashes_alone(shared: WorkerPool) -> None:
    reply = shared.submit(request("2y", "y+y") | {"answer": object()}).result()
    assert (reply.outcome, reply.error[:9]) == ("crashed", "TypeError")
    assert shared.ask(request("2y", "y+y")) == "right"


def test_a_killed_fork_server_is_replaced(shared: WorkerPool) -> None:
    assert shared.ask(request("2y", "y+y")) == "right"
    server = psutil.Process(shared.pids[0]).parent()
    assert server is not None
    assert server.pid != os.getpid()
    killed = [server, *map(psutil.Process, shared.pids)]
    for process in killed:
        process.kill()
    assert wait_ended(killed, 10) == []
    assert shared.ask(request("2y", "y+y")) == "right"


def test_closing_waits_for_workers_whose_server_died(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the kernel takes; here SIGKILL arrives late."""
    pool = WorkerPool(1, Limits(cpu_s=60, wall_s=120, memory_mb=1024))
    assert pool.ask(request("2y", "y+y")) == "right"
    worker = psutil.Process(pool.pids[0])
    server = worker.parent()
    assert server is not None
    worker.suspend()
    server.kill()
    assert wait_ended([server], 10) == []
    monkeypatch.setattr(psutil.Process, "kill", lambda it: threading.Timer(0.5, os.kill, (it.pid, 9)).start())
    pool.close()
    assert not is_alive(worker)


def test_a_worker_imports_neither_torch_nor_the_users_program() -> None:
    code = "import sys, igrpo.rewards.math.worker, igrpo.rewards.math.equivalence; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"cpu_s": 0.0, "wall_s": 60.0, "memory_mb": 1024}, "cpu_limit_s=0.0"),
        ({"cpu_s": 5.0, "wall_s": 6.0, "memory_mb": 1024}, "wall_limit_s=6.0: must be at least twice"),
        ({"cpu_s": 5.0, "wall_s": 60.0, "memory_mb": 64}, "memory_limit_mb=64"),
    ],
)
def test_limits_out_of_range_are_named(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Limits(**limits)


def test_a_folder_named_igrpo_in_the_working_directory(tmp_path: Path) -> None:
    """As beside a clone: Python then takes the folder for a part of the package, which has no file of its own."""
    (tmp_path / "igrpo").mkdir()
    code = (
        "from igrpo.rewards.math.pool import Limits, WorkerPool\n"
        "pool = WorkerPool(1, Limits(cpu_s=5.0, wall_s=60, memory_mb=1024))\n"
        f"print(pool.ask({request('x+1', '1+x')!r}))"
    )
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=variables, text=True, timeout=120)
    assert printed == "right\n"
