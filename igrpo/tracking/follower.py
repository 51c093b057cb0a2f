"""A thread that copies metrics.jsonl into MLflow.

The file is the queue: the thread remembers how many bytes MLflow has, sends what came after them in batches, and moves
on only when MLflow took it. So an outage of any length costs no point and no memory, and training never waits.
(MLflow's own asynchronous logging drops a batch that fails, and its flush at the end has no deadline.)
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from igrpo.tracking.metrics_file import parse_line
from igrpo.tracking.mlflow_client import MlflowRun

_log = logging.getLogger(__name__)

#: MLflow takes at most 1,000 points a request.
_POINTS_PER_BATCH = 900

Action = Callable[[MlflowRun], None]


class Follower:
    """Follows one metrics.jsonl.

    Args:
        metrics: the file to follow.
        connect: opens the run, and returns it with the number of bytes of the file that it holds already.
        name: the tracking address, for messages.
        interval_s: how long points are gathered before they are sent.
        retry_s: how long to wait after a failure.
    """

    def __init__(
        self,
        metrics: Path,
        connect: Callable[[], tuple[MlflowRun, int]],
        *,
        name: str,
        interval_s: float = 2.0,
        retry_s: float = 30.0,
    ) -> None:
        self.run: MlflowRun | None = None
        self._metrics = metrics
        self._connect = connect
        self._name = name
        self._interval_s = interval_s
        self._retry_s = retry_s
        self._sent = 0
        self._actions: deque[Action] = deque()
        self._status: str | None = None
        self._complaints = 0
        self._tried = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="mlflow-follower", daemon=True)

    def start(self, timeout_s: float) -> None:
        """Start, and wait for the first attempt to connect, or until ``timeout_s`` is over."""
        self._thread.start()
        if not self._tried.wait(timeout_s):
            self._complain(f"no answer within {timeout_s:.0f} s")

    def submit(self, action: Action) -> None:
        """Do something else with the run (tags, tables, files), in the order of the calls."""
        self._actions.append(action)

    def close(self, status: str, timeout_s: float) -> None:
        """Send what is left, write the run's status, stop. Gives up after ``timeout_s``."""
        self._status = status
        self._closing.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._complain(f"the last points were not taken within {timeout_s:.0f} s")

    def _loop(self) -> None:
        while True:
            closing = self._closing.is_set()
            worked = self._attempt(last=closing)
            self._tried.set()
            if closing:
                return
            self._closing.wait(self._interval_s if worked else self._retry_s)

    def _attempt(self, last: bool) -> bool:
        try:
            if self.run is None:
                self.run, self._sent = self._connect()
            self._send_points(self.run)
            self._act(self.run)
            if last:
                assert self._status is not None
                self.run.terminate(self._status)
        except Exception as error:  # whatever MLflow, its database driver or its HTTP client raises
            self._complain(f"{type(error).__name__}: {error}")
            return False
        return True

    def _send_points(self, run: MlflowRun) -> None:
        batch: list[dict[str, Any]] = []
        points, position = 0, self._sent
        with self._metrics.open("rb") as lines:
            lines.seek(position)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                batch.append(parse_line(line, f"{self._metrics}, byte {position}"))
                points += len(batch[-1]) - 2
                if points >= _POINTS_PER_BATCH:
                    run.log_points(batch, position)
                    self._sent, batch, points = position, [], 0
        if batch:
            run.log_points(batch, position)
            self._sent = position

    def _act(self, run: MlflowRun) -> None:
        while self._actions:
            try:
                self._actions[0](run)
            except Exception as error:  # as above; ping tells an outage (keep the action) from a bad action (drop it)
                run.ping()
                _log.warning("MLflow refused something of this run, it is left out there: %s", _short(error))
            self._actions.popleft()

    def _complain(self, reason: str) -> None:
        self._complaints += 1
        level = logging.WARNING if self._complaints == 1 else logging.DEBUG
        _log.log(
            level,
            "MLflow at %s does not take this run's metrics (%s). Training goes on; %s is complete, and MLflow is tried "
            "again every %.0f s.",
            self._name,
            _short(reason),
            self._metrics,
            self._retry_s,
        )


def _short(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= 300 else text[:300] + "..."
