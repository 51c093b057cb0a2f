"""The processes of the verifier: a fork server, and the workers that it forks, which compare two answers at a time.

Runs as ``python -m igrpo.rewards.math.worker SOCKET MEMORY_LIMIT_MB``, with SOCKET the number of an open file. Imports
neither torch nor the user's program. The server imports SymPy and parses a few expressions once; a worker forked from
it is ready within milliseconds, where a fresh interpreter would import for a third of a second and then parse its
first expressions ten times as slowly. The server ends, with all its workers, when the parent's end of SOCKET is closed.

A worker keeps no clock of its own: the parent watches its CPU time and kills it (``igrpo.rewards.math.pool``).
RLIMIT_CPU is the last resort, for a parent and a server that died while a comparison was running.
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
#: Parent to server: a process id to end, or -1 and a niceness to fork with (and the worker's socket beside it).
#: Server to parent: the process id of the fork, or the wait status of the ended process; the second number is 0.
ORDER = struct.Struct(">ii")
FORK = -1

#: Compared once by the server, so that every worker starts with the parser's tables for what most answers look like.
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
    """Write one JSON object, after its length in bytes (big-endian, 32 bits)."""
    payload = json.dumps(message).encode("ascii")
    connection.sendall(_HEADER.pack(len(payload)) + payload)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """The next message, None at the end of the stream."""
    header = receive_exactly(connection, _HEADER.size)
    if header is None:
        return None
    payload = receive_exactly(connection, _HEADER.unpack(header)[0])
    message: dict[str, Any] | None = None if payload is None else json.loads(payload)
    return message


def receive_exactly(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes, None at the end of the stream."""
    parts: list[bytes] = []
    while size > 0:
        part = connection.recv(min(size, 2**20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def described(error: BaseException) -> str:
    """An exception in one line: its type, its message and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{place}"


def limit_memory(megabytes: int) -> None:
    """Make allocations beyond the limit fail. macOS does not enforce it: there the parent's watch is all there is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "darwin":
        limit = megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def limit_cpu(seconds: float) -> None:
    """Let the kernel end this process when the running request has used this much more CPU time."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def serve(connection: socket.socket) -> None:
    """A worker: answers requests until the parent closes the connection. An exception is an answer, too."""
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
    """The process id of a new worker at the other end of ``connection``."""
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
    finally:  # never back into the server's loop
        os._exit(1)


def end(pid: int) -> int:
    """Kill a worker, unless it has ended itself; its wait status. Until then nobody else can get its process id."""
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def warm_up() -> None:
    """Import all that a comparison needs, and compare the examples."""
    from igrpo.rewards.math.conventions import AnswerConventions
    from igrpo.rewards.math.equivalence import compare

    for gold, answer in _WARM_UP:
        compare(gold, answer, AnswerConventions(percent="any", base_subscript="optional", unevaluated="rejected"))
    gc.collect()
    gc.freeze()  # what is there now stays shared between the workers


def main() -> None:
    server = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
    logging.disable(logging.CRITICAL)
    sys.set_int_max_str_digits(0)  # a long integer is a number like any other; the guard bounds its length
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
