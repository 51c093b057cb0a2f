"""Which process wrote something, and whether it is still alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

#: Start times of one process, read at different moments, may differ by clock corrections.
_TOLERANCE_S = 2.0


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, told apart from a later one with the same number by its start time (seconds since 1970).

    ``pid_namespace`` ("": unknown) tells containers apart that share a host name.
    """

    host: str
    pid: int
    started: float
    pid_namespace: str = ""

    @classmethod
    def current(cls) -> ProcessMark:
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, psutil.Process(pid).create_time(), _pid_namespace())

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> ProcessMark | None:
        """The process that works on an MLflow run; None where the run is not ours."""
        if not {"igrpo.host", "igrpo.pid", "igrpo.pid_started"} <= tags.keys():
            return None
        return cls(
            tags["igrpo.host"],
            int(tags["igrpo.pid"]),
            float(tags["igrpo.pid_started"]),
            tags.get("igrpo.pid_namespace", ""),
        )

    def as_tags(self) -> dict[str, str]:
        """The reverse of from_tags."""
        return {
            "igrpo.host": self.host,
            "igrpo.pid": str(self.pid),
            "igrpo.pid_started": repr(self.started),
            "igrpo.pid_namespace": self.pid_namespace,
        }

    def is_here(self) -> bool:
        """Whether this host can tell if the process lives."""
        namespaces = {self.pid_namespace, _pid_namespace()} - {""}
        return self.host == socket.gethostname() and len(namespaces) < 2

    def is_dead(self) -> bool:
        """True only when it is sure: same host, and no living process has this number and start time."""
        if not self.is_here():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= _TOLERANCE_S
            return not same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host}"


@cache
def _pid_namespace() -> str:
    link = Path("/proc/self/ns/pid")
    return str(link.readlink()) if link.is_symlink() else ""
