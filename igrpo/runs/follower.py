"""A thread that copies metrics.jsonl to MLflow.

The file is the queue. The thread remembers how many bytes MLflow has, sends later lines in batches, and advances only
after MLflow has accepted a batch. So an outage loses no points and uses no memory, and training never waits. (MLflow's
own asynchronous logging drops a batch that fails, and its final flush has no deadline.)
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from igrpo.runs.metrics_file import parse_line
from igrpo.runs.mlflow_client import MlflowRun

_log = logging.getLogger(__name__)

#: Number of points that are read before they are sent: about one request.
_POINTS_PER_BATCH = 900

#: Wait after a first failure; it doubles with each further failure.
_FIRST_RETRY_S = 1.0

#: Number of attempts for an action that MLflow refuses while it is reachable.
_ACTION_TRIES = 3

#: Number of failed attempts in a row after which closing gives up, so that the process can end.
_CLOSING_TRIES = 4

Action = Callable[[MlflowRun], None]


class Follower:
    """Copies one metrics.jsonl to MLflow in a thread.

    Args:
        metrics: the file to copy.
        connect: opens the run, and returns it with the number of bytes of the file that it already has.
        name: the tracking address, for messages.
        interval_s: seconds for which points are collected before they are sent. A request costs about 25 ms of CPU
            time regardless of its size (MLflow 3.17 on sqlite), so short intervals are expensive.
        retry_s: maximum wait after repeated failures, in seconds; the first waits are shorter.
    """

    def __init__(
        self,
        metrics: Path,
        connect: Callable[[], tuple[MlflowRun, int]],
        *,
        name: str,
        interval_s: float = 10.0,
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
        self._failures = 0  # in a row
        self._action_failures = 0
        self._progress = 0
        self._complaints = 0
        self._complete = False
        self._tried = threading.Event()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="mlflow-follower", daemon=True)

    def start(self, timeout_s: float) -> None:
        """Start the thread, and wait at most ``timeout_s`` for the first attempt to connect."""
        self._thread.start()
        if not self._tried.wait(timeout_s):
            self._complain(f"no answer within {timeout_s:.0f} s")

    def submit(self, action: Action) -> None:
        """Queue another action on the run (tags, tables, files). Actions are done soon, in the order of the calls."""
        self._actions.append(action)
        self._wake.set()

    def close(self, status: str, timeout_s: float) -> None:
        """Send what is left, write the run's status, and stop.

        Waits as long as MLflow accepts something within every ``timeout_s``, since other runs may be closing on the
        same database. Gives up otherwise, or after a few failures in a row.
        """
        self._status = status
        self._closing.set()
        self._wake.set()
        progress = -1
        while self._thread.is_alive() and progress < self._progress:
            progress = self._progress
            self._thread.join(timeout_s)
        if not self._complete and (self.run is not None or not self._complaints):
            _log.warning("MLflow at %s lacks the end of this run; %s is complete.", self._name, self._metrics)

    def _loop(self) -> None:
        while True:
            self._wake.clear()
            closing = self._closing.is_set()
            progress = self._progress
            worked = self._attempt(last=closing)
            self._failures = 0 if worked or self._progress > progress else self._failures + 1
            self._tried.set()
            if closing and (worked or self._failures >= _CLOSING_TRIES):
                return
            if worked:
                self._wake.wait(self._interval_s)
            elif closing:
                time.sleep(self._wait_s())
            else:
                self._closing.wait(self._wait_s())

    def _wait_s(self) -> float:
        return min(self._retry_s, _FIRST_RETRY_S * 2.0 ** min(max(self._failures - 1, 0), 10))

    def _attempt(self, last: bool) -> bool:
        """Bring MLflow up to date. Returns False if something has to be tried again."""
        progress = self._progress
        try:
            if self.run is None:
                self.run, self._sent = self._connect()
            self._send_points(self.run)
            done = self._act(self.run)
            if last and done:
                assert self._status is not None
                self.run.terminate(self._status)
                self._complete = True
        except Exception as error:  # whatever MLflow, its database driver or its HTTP client raises
            again = self._failures > 0 and self._progress == progress  # a single failure is not reported
            if self.run is None or again:
                self._complain(f"{type(error).__name__}: {error}")
            return False
        return done

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
                    self._send(run, batch, position)
                    batch, points = [], 0
        if batch:
            self._send(run, batch, position)

    def _send(self, run: MlflowRun, batch: list[dict[str, Any]], position: int) -> None:
        run.log_points(batch, position)
        self._sent = position
        self._progress += 1

    def _act(self, run: MlflowRun) -> bool:
        """Do the submitted actions. Returns False if the next action has to be tried again."""
        while self._actions:
            try:
                self._actions[0](run)
            except Exception as error:  # as above
                run.ping()  # raises in an outage, which does not count as a failure of the action
                self._action_failures += 1  # an invalid action, or a locked database
                if self._action_failures < _ACTION_TRIES:
                    return False
                _log.warning("MLflow refused something of this run, it is left out there: %s", _short(error))
            self._actions.popleft()
            self._action_failures = 0
            self._progress += 1
        return True

    def _complain(self, reason: str) -> None:
        level = logging.DEBUG if self._complaints else logging.WARNING
        self._complaints += 1
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
