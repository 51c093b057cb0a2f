"""The worker process of the verifier: reads pairs of answers from its standard input, writes verdicts to its output.

Runs as ``python -m igrpo.rewards.math.worker MEMORY_LIMIT_MB``. Imports neither torch nor the user's program. It keeps
no clock of its own: the parent watches its CPU time and kills it (``igrpo.rewards.math.pool``). RLIMIT_CPU is the last
resort, for a parent that died while a comparison was running.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import struct
import sys
import time
from typing import IO, Any

HEADER = struct.Struct(">I")
EXIT_OUT_OF_MEMORY = 71


def write_message(stream: IO[bytes], message: dict[str, Any]) -> None:
    """One JSON object, after its length in bytes (big-endian, 32 bits)."""
    payload = json.dumps(message).encode("ascii")
    stream.write(HEADER.pack(len(payload)) + payload)
    stream.flush()


def read_message(stream: IO[bytes]) -> dict[str, Any] | None:
    """The next message, None at the end of the stream."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    payload = stream.read(HEADER.unpack(header)[0])
    message: dict[str, Any] = json.loads(payload)
    return message


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


def private_streams() -> tuple[IO[bytes], IO[bytes]]:
    """The pipes to the parent, out of reach of a library that prints."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return requests, replies


def main() -> None:
    requests, replies = private_streams()
    limit_memory(int(sys.argv[1]))
    logging.disable(logging.CRITICAL)
    sys.set_int_max_str_digits(0)  # a long integer is a number like any other; the guard bounds its length

    from igrpo.rewards.math.conventions import AnswerConventions
    from igrpo.rewards.math.equivalence import compare

    write_message(replies, {"ready": True})
    while (request := read_message(requests)) is not None:
        limit_cpu(request["last_resort_s"])
        started = time.process_time()
        try:
            verdict = compare(request["gold"], request["answer"], AnswerConventions(**request["conventions"]))
        except MemoryError:
            os._exit(EXIT_OUT_OF_MEMORY)
        write_message(replies, {"verdict": verdict, "cpu_s": time.process_time() - started})


if __name__ == "__main__":
    main()
