"""Identification of a process, and the check whether it is still alive."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

#: Start times of the same process, read at different moments, may differ because of clock corrections.
_TOLERANCE_S = 2.0


#: Tag of an MLflow run with the process that works on it, as JSON.
PROCESS_TAG = "igrpo.process"

#: Tag with the name of its host, by which a server filters runs.
HOST_TAG = "igrpo.host"


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, identified by its number and its start time (seconds since 1970), since numbers are reused.

    ``pid_namespace`` ("": unknown) distinguishes containers with the same host name.
    """

    host: str
    pid: int
    started: float
    pid_namespace: str = ""

    @classmethod
    def current(cls) -> ProcessMark:
        """Return the mark of this process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, psutil.Process(pid).create_time(), _pid_namespace())

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> ProcessMark | None:
        """Return the process that works on an MLflow run, from the run's tags; None if igrpo did not create the run."""
        if PROCESS_TAG in tags:
            return cls(**json.loads(tags[PROCESS_TAG]))
        if not {HOST_TAG, "igrpo.pid", "igrpo.pid_started"} <= tags.keys():  # those of older versions of igrpo
            return None
        return cls(
            tags[HOST_TAG],
            int(tags["igrpo.pid"]),
            float(tags["igrpo.pid_started"]),
            tags.get("igrpo.pid_namespace", ""),
        )

    def as_tags(self) -> dict[str, str]:
        """Return MLflow tags; the inverse of ``from_tags``."""
        return {PROCESS_TAG: json.dumps(asdict(self)), HOST_TAG: self.host}

    def is_here(self) -> bool:
        """True if this host can check whether the process is alive."""
        namespaces = {self.pid_namespace, _pid_namespace()} - {""}
        return self.host == socket.gethostname() and len(namespaces) < 2

    def is_dead(self) -> bool:
        """True only if it is certain: same host, and no living process has this number and start time."""
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
