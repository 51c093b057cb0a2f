"""Recording how a run ended: finished, failed or killed. (For kill -9, see stale.py.)"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from igrpo.rewards.base import RewardPausedError
from igrpo.runs.run_directory import RunDirectory, RunStatus

_log = logging.getLogger(__name__)

_Handler = Callable[[int, FrameType | None], object] | int | None


class Terminated(SystemExit):
    """A signal asked the process to end. The exit code is 128 + the signal's number, as in a shell."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)
        self.signal_name = signal.Signals(signal_number).name


class Closable(Protocol):
    """Interface of objects that receive the run's final status: a Tracker or a RunLogger."""

    def close(self, status: RunStatus) -> None: ...


@contextmanager
def tracked(logger: Closable, directory: RunDirectory) -> Iterator[None]:
    """Write how the block ended to run.json and MLflow.

    The status is FINISHED after a normal end or exit code 0; KILLED after SIGTERM, SIGHUP, Ctrl-C or a reward that
    pauses; FAILED otherwise.
    In the main thread, SIGTERM and SIGHUP raise ``Terminated`` inside the block; the previous handlers are restored.
    The local file is written first, because there may be no time left to reach a server.
    """
    status: RunStatus = "FAILED"
    reason: str | None = None
    with _signals_raise() as ending:
        try:
            try:
                yield
                status = "FINISHED"
            except BaseException as error:
                status, reason = _ending(error)
                raise
            finally:
                ending()
        finally:  # reached even if a signal arrives while the inner block ends
            _write_end(logger, directory, status, reason)


def _ending(error: BaseException) -> tuple[RunStatus, str | None]:
    """Return the run's status after ``error``, and the reason as text."""
    if isinstance(error, Terminated):
        return "KILLED", f"ended by {error.signal_name}"
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", "ended by Ctrl-C"
    if not isinstance(error, SystemExit):
        status: RunStatus = "KILLED" if isinstance(error, RewardPausedError) else "FAILED"
        return status, f"{type(error).__name__}: {error}".rstrip(": ")
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    if isinstance(error, SIGTERMException):
        return "KILLED", "ended by SIGTERM"
    # Lightning turns Ctrl-C into sys.exit(1), raised while it handles the KeyboardInterrupt.
    if isinstance(error.__context__, KeyboardInterrupt | Terminated):
        return _ending(error.__context__)
    return ("FAILED", f"exit code {error.code}") if error.code else ("FINISHED", None)


def _write_end(logger: Closable, directory: RunDirectory, status: RunStatus, reason: str | None) -> None:
    try:
        directory.finish(status, error=reason)
    except (OSError, RuntimeError, ValueError) as error:  # must not hide another error
        _log.error("could not write into %s that the run has ended (%s): %s", directory, status, error)
        if status == "FINISHED":
            raise
    finally:
        logger.close(status)


@contextmanager
def _signals_raise() -> Iterator[Callable[[], None]]:
    """Raise Terminated on SIGTERM and SIGHUP until the yielded function is called; then ignore them."""
    numbers = [signal.SIGTERM, signal.SIGHUP]
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Python runs handlers in the main thread only
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    before: dict[int, _Handler] = {number: signal.getsignal(number) for number in (*numbers, signal.SIGINT)}
    taken = [number for number in numbers if before[number] is not signal.SIG_IGN]  # nohup ignores SIGHUP
    for number in taken:
        signal.signal(number, terminate)

    def ignore() -> None:
        for number in taken:
            signal.signal(number, signal.SIG_IGN)

    try:
        yield ignore
    finally:
        for number in (*taken, signal.SIGINT):  # after a Ctrl-C, Lightning leaves it ignored
            if before[number] is not None:
                signal.signal(number, before[number])
