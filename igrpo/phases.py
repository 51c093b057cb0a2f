"""Time by phase: nested blocks of a program, each with the seconds that no block inside it has.

Code marks its phases with ``with phase("decode"):``. Unless a `PhaseTimer` is active this costs a fraction of a
microsecond. A block must not wait for other coroutines (no ``await`` in it), or its seconds would be theirs, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType

#: The time of the whole that is in none of the marked phases.
OTHER = "other"

_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(slots=True)
class PhaseTime:
    """Seconds of a phase without those of the phases in it, and the number of times that it was entered."""

    wall: float = 0.0
    cpu: float = 0.0
    calls: int = 0


#: Returns the wall-clock and CPU seconds of now.
Clock = Callable[[], tuple[float, float]]


def process_clock() -> tuple[float, float]:
    """Return the wall-clock seconds and this process's CPU seconds, of all its threads."""
    return time.perf_counter(), time.process_time()


class PhaseTimer:
    """Measures the phases of the thread that makes it.

    ``times`` has an entry for each path, such as ``evaluation/decode``, and `OTHER`. Together they are the time in
    which the timer was active and not paused.

    Args:
        clock: see `Clock`.
    """

    def __init__(self, clock: Clock = process_clock) -> None:
        self.times = {OTHER: PhaseTime()}
        #: A further context for each block, such as a mark in a trace, by the phase's name.
        self.mark: Callable[[str], AbstractContextManager[object]] | None = None
        self._clock = clock
        self._thread = threading.get_ident()
        self._paths = [OTHER]
        self._paused = False
        self._last = clock()

    @property
    def total(self) -> PhaseTime:
        """The sum of all phases."""
        self._charge()
        times = self.times.values()
        return PhaseTime(sum(time.wall for time in times), sum(time.cpu for time in times))

    def activate(self) -> None:
        """Measure from now on, in place of an earlier timer."""
        self._last = self._clock()
        _Current.timer = self

    def deactivate(self) -> None:
        """Stop. Safe to call twice."""
        if _Current.timer is self:
            self._charge()
            _Current.timer = None

    def pause(self, *, paused: bool) -> None:
        """Leave out what follows, or count it again."""
        self._charge()
        self._paused = paused

    def block(self, name: str) -> AbstractContextManager[None]:
        """Return the context of a phase inside the current one. In other threads it does nothing."""
        return _Block(self, name) if threading.get_ident() == self._thread else _NOTHING

    def enter(self, name: str) -> None:
        """Begin a phase inside the current one."""
        self._charge()
        path = name if len(self._paths) == 1 else f"{self._paths[-1]}/{name}"
        self._paths.append(path)
        entry = self.times.setdefault(path, PhaseTime())
        entry.calls += not self._paused

    def leave(self) -> None:
        """End the current phase."""
        self._charge()
        self._paths.pop()

    def _charge(self) -> None:
        now = self._clock()
        if not self._paused:
            entry = self.times[self._paths[-1]]
            entry.wall += now[0] - self._last[0]
            entry.cpu += now[1] - self._last[1]
        self._last = now


class _Block(AbstractContextManager[None]):
    """A phase of a timer."""

    __slots__ = ("_mark", "_name", "_timer")

    def __init__(self, timer: PhaseTimer, name: str) -> None:
        self._timer, self._name = timer, name
        self._mark = None if timer.mark is None else timer.mark(name)

    def __enter__(self) -> None:
        self._timer.enter(self._name)
        if self._mark is not None:
            self._mark.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mark is not None:
            self._mark.__exit__(kind, error, trace)
        self._timer.leave()


class _Current:
    """The active timer of the process."""

    timer: PhaseTimer | None = None


def phase(name: str) -> AbstractContextManager[None]:
    """Return a context whose time is that of the phase ``name``, inside the phase that the program is in."""
    timer = _Current.timer
    return _NOTHING if timer is None else timer.block(name)


def measured() -> bool:
    """True if a timer is active."""
    return _Current.timer is not None
