"""Lifecycle of a run in one process: its lock, its signals, its status, how it ended, and the exit code.

`Ending.of` is the one place that says what an exception means for a run. Its status in run.json and MLflow, the message
to the user, the exit code and the records of the processes of a distributed run all follow from it. (No process can
record a kill -9: see stale.py.)
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal

from igrpo.rewards.base import RewardPausedError
from igrpo.runs.run_directory import RunDirectory, RunStatus

_log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_PAUSED = 75  # EX_TEMPFAIL of sysexits.h: not a failure, can be resumed with a higher limit
EXIT_INTERRUPTED = 128 + signal.SIGINT

_TERMINATING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(SystemExit):
    """A signal asked the process to end. The exit code is 128 + the signal's number, as in a shell."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class RunError(RuntimeError):
    """A run or a sweep did not finish, and the reason was already printed and logged."""

    def __init__(self, reason: str | None, code: int = EXIT_FAILED) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Ending:
    """Ending of a run, or of one of its processes.

    Attributes:
        kind: finished; failed with an error; paused at a limit of its reward; stopped by Ctrl-C or a signal; lost
            (a collective operation failed, as happens when another process of the run has ended).
        reason: the reason as text; None if the run finished.
        exit_code: exit code of the process.
        setting: setting to raise before a paused run is resumed.
    """

    kind: Literal["finished", "failed", "paused", "stopped", "lost"]
    reason: str | None = None
    exit_code: int = 0
    setting: str | None = None

    @property
    def status(self) -> RunStatus:
        """Status of a run that ended like this."""
        return "FINISHED" if self.kind == "finished" else "KILLED" if self.kind in {"paused", "stopped"} else "FAILED"

    @classmethod
    def of(cls, error: BaseException) -> Ending:
        """Return the ending of a run that raised ``error``."""
        # Lightning turns Ctrl-C into sys.exit(1), raised while it handles the KeyboardInterrupt.
        if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt | Terminated):
            error = error.__context__
        if isinstance(error, EndedError):
            return error.ending
        if isinstance(error, RewardPausedError):
            return cls("paused", str(error), EXIT_PAUSED, error.setting)
        if isinstance(error, KeyboardInterrupt):
            return cls("stopped", "ended by Ctrl-C", EXIT_INTERRUPTED)
        if isinstance(error, Terminated):
            return cls("stopped", f"ended by {error.signal.name}", 128 + error.signal)
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) and error.code else EXIT_FAILED
            return cls("failed", f"exit code {error.code or 0} before the end of the run", code)
        name = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return cls("lost" if _is_lost(error) else "failed", f"{name}{error}".rstrip(": "), EXIT_FAILED)


class EndedError(RuntimeError):
    """A run ended in other processes; ``ending`` says how."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


def _is_lost(error: BaseException) -> bool:
    dist: Any = sys.modules.get("torch.distributed")  # not imported here: only a process that uses it can lose another
    return dist is not None and (
        isinstance(error, dist.DistError) or (type(error) is RuntimeError and "gloo" in str(error))
    )


class SignalHandlers:
    """Context in which SIGTERM and SIGHUP raise Terminated. The handlers of before are restored at its end.

    An ignored signal stays ignored (nohup ignores SIGHUP). Outside the main thread, where Python runs no handlers, this
    does nothing.
    """

    def __enter__(self) -> SignalHandlers:
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (*_TERMINATING, signal.SIGINT) if is_main else ()
        self._before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
        raise_on_signals()
        return self

    def ignore(self) -> None:
        """Ignore SIGTERM, SIGHUP and Ctrl-C, so that they do not prevent the ending from being recorded."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def allow_interrupt(self) -> None:
        """Let Ctrl-C end the process again."""
        if self._before.get(signal.SIGINT) is not None:
            signal.signal(signal.SIGINT, self._before[signal.SIGINT])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if handler is not None:
                signal.signal(number, handler)


def raise_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise Terminated, unless they are ignored. Call this again if a library took them over."""
    if threading.current_thread() is threading.main_thread():
        for number in _TERMINATING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _terminate)


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


class RunLifecycle:
    """A run that this process has locked (see `run_lifecycle`)."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self._begun = False
        self._closing: list[Callable[[RunStatus], None]] = []

    def begin(self) -> None:
        """Record in run.json that this process works on the run. How it ends is recorded from now on."""
        self.directory.begin()
        self._begun = True

    def on_end(self, close: Callable[[RunStatus], None]) -> None:
        """Call ``close`` with the run's final status after it was written to run.json."""
        self._closing.append(close)

    def end(self, ending: Ending, signals: SignalHandlers) -> None:
        """Write how the run ended. The local file is first: there may be no time left to reach a server."""
        try:
            if self._begun:
                self.directory.finish(ending.status, error=ending.reason)
        except (OSError, RuntimeError, ValueError) as error:  # must not hide another error
            _log.error("could not write to %s that the run has ended (%s): %s", self.directory, ending.status, error)
            if ending.kind == "finished":
                raise
        finally:
            signals.allow_interrupt()  # a server may take long; the next command repairs the status there
            for close in self._closing:
                close(ending.status)


@contextmanager
def run_lifecycle(directory: RunDirectory) -> Iterator[RunLifecycle]:
    """Lock a run's directory, and record how the block ends once ``RunLifecycle.begin`` was called in it.

    The status is FINISHED after a normal end; KILLED after Ctrl-C, SIGTERM, SIGHUP or a reward that pauses; FAILED
    otherwise. In the main thread, SIGTERM and SIGHUP raise ``Terminated`` inside the block.

    Raises:
        RunDirectoryLockedError: another process works on the run.
    """
    run = RunLifecycle(directory)
    ending = Ending("failed")
    with SignalHandlers() as signals, directory.acquire():
        try:
            try:
                yield run
                ending = Ending("finished")
            except BaseException as error:
                ending = Ending.of(error)
                raise
            finally:
                signals.ignore()
        finally:  # reached even if a signal arrives while the inner block ends
            run.end(ending, signals)
