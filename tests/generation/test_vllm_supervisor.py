"""The supervisor, with a small web server in the place of vLLM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from igrpo.generation.vllm.supervisor import ServerError, Supervisor, free_port, stop_group
from igrpo.processes import is_alive
from tests.waiting import DEADLINE_S, has_ended, wait_until

# Starts a child that ignores SIGTERM, as a worker that hangs would; tells the process ids of both.
SERVER = """
import http.server, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(300)"])
with open(sys.argv[2], "a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
Start = Callable[..., Supervisor]


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


@pytest.fixture
def start(tmp_path: Path, pids: Path) -> Iterator[Start]:
    started = []

    def start(code: str = SERVER, ready_timeout_s: float = DEADLINE_S, max_restarts: int = 2) -> Supervisor:
        port = free_port("127.0.0.1")
        started.append(
            Supervisor(
                [sys.executable, "-c", code, str(port), str(pids)],
                os.environ,
                url=f"http://127.0.0.1:{port}",
                log_file=tmp_path / "logs" / "server.log",
                ready_timeout_s=ready_timeout_s,
                max_restarts=max_restarts,
            )
        )
        return started[-1]

    yield start
    for supervisor in started:
        supervisor.close()


def noted(pids: Path) -> list[list[int]]:
    return [[int(pid) for pid in line.split()] for line in pids.read_text().splitlines()]


LEADER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); print(flush=True); time.sleep(300)"])
time.sleep(300)
"""


def test_stopping_a_group_waits_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the kernel takes; here SIGKILL arrives late."""
    killpg = os.killpg

    def late(group: int, number: int) -> None:
        if number == signal.SIGKILL:
            threading.Timer(0.5, killpg, (group, number)).start()
        else:
            killpg(group, number)

    monkeypatch.setattr("igrpo.generation.vllm.supervisor.os.killpg", late)
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with leader:
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"\n"
        (child,) = psutil.Process(leader.pid).children()
        stop_group(leader)
        assert not is_alive(child)


def test_a_server_is_started_and_ends_with_all_that_it_started(start: Start, pids: Path) -> None:
    supervisor = start()
    supervisor.wait_ready()
    assert urllib.request.urlopen(f"{supervisor.url}/health").status == 200
    ((server, worker),) = noted(pids)
    supervisor.close()
    supervisor.close()
    assert has_ended(server)
    assert has_ended(worker)
    assert supervisor.failure is None


def test_a_server_that_dies_is_started_again(start: Start, pids: Path) -> None:
    supervisor = start()
    supervisor.wait_ready()
    ((server, worker),) = noted(pids)
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: len(noted(pids)) == 2)
    supervisor.wait_ready()
    (second, _) = noted(pids)[1]
    assert second != server
    assert has_ended(worker), "what the dead server had started is in the way of the next"
    assert urllib.request.urlopen(f"{supervisor.url}/health").status == 200


def test_a_server_that_cannot_start_shows_the_end_of_its_log(start: Start, tmp_path: Path) -> None:
    supervisor = start("print('no such model'); raise SystemExit(3)", max_restarts=1)
    with pytest.raises(ServerError, match=r"ended by itself, 2 times in a row.*server\.log.*(?s:.*)no such model"):
        supervisor.wait_ready()
    with pytest.raises(ServerError, match="2 times in a row"):
        supervisor.wait()
    assert (tmp_path / "logs" / "server.log").read_text().count("no such model") == 2


def test_one_that_never_gets_ready_is_ended_and_given_up(start: Start) -> None:
    supervisor = start("import time; print('thinking', flush=True); time.sleep(300)", 1.5, max_restarts=0)
    with pytest.raises(ServerError, match=r"did not get ready(?s:.*)thinking"):
        supervisor.wait_ready()


PARENT = """
import os, sys, time
from pathlib import Path
from igrpo.generation.vllm.supervisor import Supervisor
port, code, pids, log = sys.argv[1:]
supervisor = Supervisor([sys.executable, "-c", code, port, pids], os.environ, url=f"http://127.0.0.1:{port}",
                        log_file=Path(log), ready_timeout_s=60.0, max_restarts=2)
supervisor.wait_ready()
print("ready", flush=True)
try:
    time.sleep(300)
finally:
    if "close" in os.environ:
        supervisor.close()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(end: signal.Signals, tmp_path: Path, pids: Path) -> None:
    port = str(free_port("127.0.0.1"))
    command = [sys.executable, "-c", PARENT, port, SERVER, str(pids), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        ((server, worker),) = noted(pids)
        assert not has_ended(server)
        parent.send_signal(end)
        assert parent.wait(DEADLINE_S) != 0
    wait_until(lambda: has_ended(server) and has_ended(worker))
    assert len(noted(pids)) == 1, "it was not started again"
