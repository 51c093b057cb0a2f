"""A thread that copies a run to MLflow: metrics.jsonl, files, parameters and tags.

The run's directory is the record, and MLflow has a copy. ``sync`` sends what MLflow lacks, and may be repeated: MLflow
stores a point with the same name, step, time and value once. So an outage loses nothing and uses no memory, and
training never waits. (MLflow's own asynchronous logging drops a batch that fails, and its final flush has no deadline.)
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from igrpo.runs.links import without_password
from igrpo.runs.metrics_file import parse_line
from igrpo.runs.mlflow_client import MlflowRun, RunTarget, milliseconds, open_run

_log = logging.getLogger(__name__)

#: Number of points that are read before they are sent: about one request.
_POINTS_PER_BATCH = 900

#: Wait after a first failure; it doubles with each further failure.
_FIRST_RETRY_S = 1.0

#: Number of attempts for something that MLflow refuses while it is reachable.
_TRIES = 3

#: Number of failed attempts in a row after which closing gives up, so that the process can end.
_CLOSING_TRIES = 4

#: Its result is not used.
Action = Callable[[MlflowRun], object]


class MlflowSync:
    """Copies one run, or the parent run of a sweep, to MLflow in a thread.

    Args:
        target: the run in MLflow.
        subject: 'run' or 'sweep', for messages.
        record: the local file or folder that has everything, for messages.
        metrics: the metrics.jsonl to copy; None: no metrics.
        files: returns the files that MLflow is to have, each with its artifact folder (None: the top). A file is sent
            again when it has changed.
        on_open: called with the run after it was opened.
        interval_s: seconds between two calls of ``sync``. A request costs about 25 ms of CPU time regardless of its
            size (MLflow 3.17 on sqlite), so short intervals are expensive.
        retry_s: maximum wait after repeated failures, in seconds; the first waits are shorter.
    """

    def __init__(
        self,
        target: RunTarget,
        *,
        subject: str,
        record: Path,
        metrics: Path | None = None,
        files: Callable[[], Iterable[tuple[Path, str | None]]] = tuple,
        on_open: Action = lambda run: None,
        interval_s: float = 10.0,
        retry_s: float = 30.0,
    ) -> None:
        self.run: MlflowRun | None = None
        self._target, self._subject, self._record = target, subject, record
        self._metrics, self._files, self._on_open = metrics, files, on_open
        self._interval_s, self._retry_s = interval_s, retry_s
        self._position = 0  # bytes of metrics.jsonl that MLflow has
        self._pending: dict[str, Action] = {}
        self._versions: dict[Path, int] = {}
        self._refusals = Counter[str]()
        self._progress = 0
        self._complained = False
        self._complete = False
        self._status: str | None = None
        self._tried = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="mlflow-sync", daemon=True)

    def start(self, timeout_s: float) -> None:
        """Start the thread, and wait at most ``timeout_s`` for the first attempt to open the run."""
        self._thread.start()
        if not self._tried.wait(timeout_s):
            self._complain(f"no answer within {timeout_s:.0f} s")

    def put(self, name: str, action: Action) -> None:
        """Have ``sync`` do an action, which may be repeated, on the run. An earlier one of this name is replaced."""
        self._pending[name] = action

    def close(self, status: str, timeout_s: float) -> None:
        """Send what is left, write the run's status, and stop.

        Waits as long as MLflow accepts something within every ``timeout_s``, since other runs may be closing on the
        same database. Gives up otherwise, or after a few failures in a row.
        """
        self._status = status
        self._closing.set()
        progress = -1
        while self._thread.is_alive() and progress < self._progress:
            progress = self._progress
            self._thread.join(timeout_s)
        if not self._complete and (self.run is not None or not self._complained):
            _log.warning(
                "MLflow at %s lacks the end of this %s; %s is complete.",
                without_password(self._target.tracking_uri), self._subject, self._record,
            )  # fmt: skip

    def sync(self, status: str | None = None) -> bool:
        """Bring MLflow up to date, and write the run's final status if one is given.

        Returns False if something was refused and has to be tried again.

        Raises:
            Exception: MLflow cannot be reached, or does not take the metrics.
        """
        run = self._opened()
        if self._metrics is not None:
            self._send_points(run, self._metrics)
        for path, folder in self._files():
            version = path.stat().st_mtime_ns
            if self._versions.get(path) != version:
                self._versions[path] = version
                self.put(str(path), _upload(path, folder))
        complete = self._send_pending(run)
        if complete and status is not None:
            run.terminate(status)
        return complete

    def _loop(self) -> None:
        failures = 0  # in a row
        while True:
            closing, progress, complete = self._closing.is_set(), self._progress, False
            try:
                complete = self.sync(self._status if closing else None)
            except Exception as error:  # whatever MLflow, its database driver or its HTTP client raises
                if self.run is None or (failures and self._progress == progress):  # a single failure is not reported
                    self._complain(f"{type(error).__name__}: {error}")
            failures = 0 if complete or self._progress > progress else failures + 1
            self._tried.set()
            self._complete = complete and closing
            if self._complete or (closing and failures >= _CLOSING_TRIES):
                return
            wait = min(self._retry_s, _FIRST_RETRY_S * 2.0 ** min(max(failures - 1, 0), 10))
            if closing:
                time.sleep(wait)
            else:
                self._closing.wait(self._interval_s if complete else wait)

    def _opened(self) -> MlflowRun:
        if self.run is None:
            run = open_run(self._target)
            if self._metrics is not None:
                self._position = _position(self._metrics, run.newest_time())
            self._on_open(run)
            self.run = run
        return self.run

    def _send_points(self, run: MlflowRun, metrics: Path) -> None:
        batch: list[dict[str, Any]] = []
        points, position = 0, self._position
        with metrics.open("rb") as lines:
            lines.seek(position)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                batch.append(parse_line(line, f"{metrics}, byte {position}"))
                points += len(batch[-1]) - 2
                if points >= _POINTS_PER_BATCH:
                    self._send(run, batch, position)
                    batch, points = [], 0
        if batch:
            self._send(run, batch, position)

    def _send(self, run: MlflowRun, batch: list[dict[str, Any]], position: int) -> None:
        run.log_points(batch)
        self._position = position
        self._progress += 1

    def _send_pending(self, run: MlflowRun) -> bool:
        """Do the pending actions in their order. Returns False if one has to be tried again."""
        for name, action in list(self._pending.items()):
            try:
                action(run)
            except Exception as error:  # as above
                run.ping()  # raises in an outage, which does not count as a refusal
                self._refusals[name] += 1  # an invalid action, or a locked database
                if self._refusals[name] < _TRIES:
                    return False
                text = "MLflow refused %s of this %s, it is left out there: %s"
                _log.warning(text, name, self._subject, _short(error))
            self._progress += 1
            if self._pending.get(name) is action:
                del self._pending[name]
        return not self._pending

    def _complain(self, reason: str) -> None:
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        _log.log(
            level,
            "MLflow at %s does not take the data of this %s (%s). The %s continues; %s is complete, and MLflow is "
            "tried again every %.0f s.",
            without_password(self._target.tracking_uri), self._subject, _short(reason), self._subject, self._record,
            self._retry_s,
        )  # fmt: skip


def _upload(path: Path, folder: str | None) -> Action:
    return lambda run: run.upload(path, folder)


def _position(metrics: Path, newest: int | None) -> int:
    """Return the start of the first line that MLflow may lack, in bytes, from the time of its newest point.

    Lines are sent in their order, and their times never decrease, so MLflow has all lines before that time.
    """
    position = 0
    if newest is not None:
        with metrics.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n") or milliseconds(parse_line(line, str(metrics))) >= newest:
                    break
                position += len(line)
    return position


def _short(reason: object) -> str:
    text = without_password(" ".join(str(reason).split()))
    return text if len(text) <= 300 else text[:300] + "..."
