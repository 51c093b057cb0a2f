"""Processes of the verifier: a fork server and its workers, each of which compares one pair of answers at a time.

Run as ``python -m igrpo.rewards.math.worker SOCKET MEMORY_LIMIT_MB``, where SOCKET is an open file descriptor. This
module imports neither torch nor the user's program. The server imports SymPy and parses a few expressions once. A
worker forked from it is ready within milliseconds. A fresh interpreter would need a third of a second for imports, and
would parse its first expressions ten times more slowly. The server ends, with all its workers, when the parent's end of
SOCKET is closed.

A worker does not measure its own time: the parent monitors its CPU time and kills it (``igrpo.rewards.math.pool``).
RLIMIT_CPU is a last resort in case the parent and the server died during a comparison.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

EXIT_OUT_OF_MEMORY = 71

_HEADER = struct.Struct(">I")
#: Parent to server: the id of a process to end, or -1 and the niceness of a new worker (with the worker's socket).
#: Server to parent: the process id of the fork, or the wait status of the ended process; the second number is 0.
ORDER = struct.Struct(">ii")
FORK = -1

#: Pairs that the server compares once, so that every worker starts with the parser's tables for common answers.
_WARM_UP = (
    (r"\frac{1}{2}+\sqrt{3}x^{2}", r"\sqrt{3}x^2+\frac12"),
    (r"(1,2]", r"(1,2)"),
    (r"x\leq 3", r"x<3"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"),
    (r"\{1,2,3\}", r"1,2,3"),
    (r"\sin(x)+\log_{2}(y)", r"\cos x"),
    (r"\pi r^2", r"2\pi"),
    (r"\binom{5}{2}", r"10x"),
    (r"y=2x+3", r"y=3x"),
    (r"[0,1]\cup[2,3)", r"(-\infty,3)"),
    (r"3+4i", r"3-4i"),
    (r"-\frac{a}{b}", r"a/b"),
    (r"|x|\geq 2", r"x\in[2,4]"),
    (r"\int_0^1 x dx", r"\sum_{k=1}^{3}k"),
)


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one JSON object, preceded by its length in bytes (big-endian, 32 bits)."""
    payload = json.dumps(message).encode("ascii")
    connection.sendall(_HEADER.pack(len(payload)) + payload)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Receive the next message; None at the end of the stream."""
    header = receive_exactly(connection, _HEADER.size)
    if header is None:
        return None
    payload = receive_exactly(connection, _HEADER.unpack(header)[0])
    message: dict[str, Any] | None = None if payload is None else json.loads(payload)
    return message


def receive_exactly(connection: socket.socket, size: int) -> bytes | None:
    """Receive exactly ``size`` bytes; None at the end of the stream."""
    parts: list[bytes] = []
    while size > 0:
        part = connection.recv(min(size, 2**20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def described(error: BaseException) -> str:
    """Describe an exception in one line: its type, its message and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{place}"


def limit_memory(megabytes: int) -> None:
    """Make allocations beyond the limit fail. Not on macOS, where only the parent's monitoring limits memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "darwin":
        limit = megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def limit_cpu(seconds: float) -> None:
    """Let the kernel end this process once the current request has used this many more CPU seconds."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def serve(connection: socket.socket) -> None:
    """Answer requests until the parent closes the connection. Exceptions are sent as answers, too."""
    from igrpo.rewards.math.conventions import AnswerConventions
    from igrpo.rewards.math.equivalence import compare

    while (request := receive(connection)) is not None:
        limit_cpu(request["last_resort_s"])
        started = time.process_time()
        try:
            verdict: str = compare(request["gold"], request["answer"], AnswerConventions(**request["conventions"]))
            error = ""
        except MemoryError:
            os._exit(EXIT_OUT_OF_MEMORY)
        except Exception as raised:
            verdict, error = "crashed", described(raised)
        send(connection, {"verdict": verdict, "error": error, "cpu_s": time.process_time() - started})


def fork(server: socket.socket, connection: socket.socket, niceness: int) -> int:
    """Fork a worker that serves ``connection`` and return its process id."""
    pid = os.fork()
    if pid:
        connection.close()
        return pid
    try:
        server.close()
        os.nice(niceness)
        serve(connection)
        os._exit(0)
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)
    finally:  # never return to the server's loop
        os._exit(1)


def end(pid: int) -> int:
    """Kill a worker, unless it has ended by itself, and return its wait status.

    The process id cannot be reused before, since the worker is reaped only here.
    """
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def warm_up() -> None:
    """Import everything that a comparison needs, and compare the examples."""
    from igrpo.rewards.math.conventions import AnswerConventions
    from igrpo.rewards.math.equivalence import compare

    for gold, answer in _WARM_UP:
        compare(gold, answer, AnswerConventions(percent="any", base_subscript="optional", unevaluated="rejected"))
    gc.collect()
    gc.freeze()  # existing objects stay in memory that workers share


def main() -> None:
    server = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
    logging.disable(logging.CRITICAL)
    sys.set_int_max_str_digits(0)  # allow long integers; the guard limits their length
    limit_memory(int(sys.argv[2]))
    try:
        warm_up()
    except Exception as error:
        send(server, {"error": described(error)})
        return
    send(server, {"error": ""})

    workers: set[int] = set()
    while True:
        order, files, _, _ = socket.recv_fds(server, ORDER.size, 1)
        if not order:
            break
        pid, niceness = ORDER.unpack(order)
        if pid == FORK:
            pid = result = fork(server, socket.socket(fileno=files[0]), niceness)
            workers.add(pid)
        else:
            result = end(pid)
            workers.remove(pid)
        server.sendall(ORDER.pack(result, 0))
    for pid in workers:
        end(pid)


if __name__ == "__main__":
    main()
