"""The shared console of this process, and the lines at its bottom that are redrawn: progress bars and spinners."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.spinner import Spinner

#: A wait is shown on a terminal after this many seconds.
SPINNER_AFTER_S = 2.0

#: Elsewhere a wait is one line after this many seconds, and one more per interval.
LINE_AFTER_S, LINE_EVERY_S = 20.0, 60.0

_REDRAW_EVERY_S = 0.125


@cache
def get_console(*, stderr: bool = False) -> Console:
    """Return the console of this process, which prints text unchanged.

    Markup is off, because settings, paths, errors and model output contain brackets. Use `rich.text.Text` for styles.
    """
    from rich.console import Console

    class LockedConsole(Console):
        """Console that prints from one thread at a time.

        Otherwise one thread could erase what another has drawn at the bottom, by the height that it had before.
        """

        lock = threading.RLock()

        def print(self, *args: Any, **kwargs: Any) -> None:
            with self.lock:
                super().print(*args, **kwargs)

    return LockedConsole(stderr=stderr, markup=False, emoji=False, highlight=False)


@cache
def footer_of(console: Console) -> Footer:
    """Return the footer of a console. A terminal can redraw only one block of lines, so all displays share it."""
    return Footer(console)


@contextmanager
def waiting(label: str, console: Console | None = None, *, lines: bool = False) -> Iterator[Wait]:
    """Say what a block waits for, if it takes longer than about two seconds.

    On a terminal this is a spinner with the seconds so far. Waits may be nested, also in coroutines and threads: the
    newest one is shown.

    Args:
        label: what is waited for, such as "importing torch". The yielded object can change it.
        console: where it is shown (default: the console of the standard output).
        lines: elsewhere than on a terminal, print a line after 20 seconds and then every minute, as for a log.
    """
    footer, wait = footer_of(get_console() if console is None else console), Wait(label, lines=lines)
    footer.add_wait(wait)
    try:
        yield wait
    finally:
        footer.remove_wait(wait)


class Wait:
    """Something that is waited for. ``label`` says what, and may be changed."""

    def __init__(self, label: str, *, lines: bool = False) -> None:
        self.label, self.lines = label, lines
        self.ended = threading.Event()
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the wait began."""
        return time.monotonic() - self._start


class Footer:
    """Lines at the bottom of a terminal. Ordinary output appears above them. Thread-safe.

    Nothing is drawn if the output is not a terminal, or by a process of a distributed run other than the first one.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: list[Callable[[], RenderableType]] = []
        self._waits: list[Wait] = []
        self._live: Live | None = None
        self._spinner: Spinner | None = None
        self._lock: threading.RLock = getattr(console, "lock", threading.RLock())

    @property
    def is_live(self) -> bool:
        """True if lines are redrawn here."""
        if not self._console.is_interactive or os.environ.get("RANK", "0") != "0":
            return False
        # FORCE_COLOR asks for colours, as in the log of a CI job, but rich takes it for a terminal
        return not os.environ.get("FORCE_COLOR") or self._console.file.isatty()

    @property
    def is_used(self) -> bool:
        """True if lines are redrawn here now."""
        return self.is_live and bool(self._lines)

    def add(self, line: Callable[[], RenderableType]) -> None:
        """Show what ``line()`` returns until it is removed. It is one line high if other output is to be read above."""
        with self._lock:
            if line not in self._lines:
                self._lines.append(line)
            self._update()

    def remove(self, line: Callable[[], RenderableType]) -> None:
        """Remove a line, if it is there."""
        with self._lock:
            if line in self._lines:
                self._lines.remove(line)
            self._update()

    def refresh(self) -> None:
        """Draw now, instead of soon."""
        with self._lock:
            if self._live is not None:
                self._live.refresh()

    def add_wait(self, wait: Wait) -> None:
        """Show a wait from two seconds on."""
        with self._lock:
            self._waits.append(wait)
        threading.Thread(target=self._follow, args=(wait,), name="waiting", daemon=True).start()

    def remove_wait(self, wait: Wait) -> None:
        """Remove a wait."""
        wait.ended.set()
        with self._lock:
            self._waits.remove(wait)
            self._update()

    def _follow(self, wait: Wait) -> None:
        if self.is_live:
            if not wait.ended.wait(SPINNER_AFTER_S):
                with self._lock:
                    self._update()
            return
        if not wait.lines:
            return
        pause = LINE_AFTER_S
        while not wait.ended.wait(pause):
            with self._lock:
                is_newest = self._waits[-1:] == [wait]
            if is_newest:
                self._console.print(f"{wait.label} ... ({wait.seconds:.0f} s)", soft_wrap=True)
            pause = LINE_EVERY_S

    def _due(self) -> Wait | None:
        """Return the newest wait, if any wait has lasted for long enough."""
        waits = list(self._waits)
        return waits[-1] if any(wait.seconds >= SPINNER_AFTER_S for wait in waits) else None

    def _update(self) -> None:
        """Start or stop drawing. The lock is held."""
        wanted = self.is_live and bool(self._lines or self._due())
        if wanted and self._live is None:
            from rich.live import Live

            # redrawn by a thread of our own, which takes the lock before rich's: the order in which printing takes them
            self._live = Live(console=self._console, get_renderable=self._render, transient=True, auto_refresh=False)
            self._live.start(refresh=True)
            threading.Thread(target=self._redraw, args=(self._live,), name="footer", daemon=True).start()
        elif not wanted and self._live is not None:
            self._live.stop()
            self._live = None

    def _redraw(self, live: Live) -> None:
        while self._live is live:
            time.sleep(_REDRAW_EVERY_S)
            with self._lock:
                if self._live is live:
                    live.refresh()

    def _render(self) -> RenderableType:
        from rich.console import Group

        wait = self._due()
        waits = [] if wait is None else [self._wait_line(wait)]
        return Group(*(line() for line in list(self._lines)), *waits)

    def _wait_line(self, wait: Wait) -> RenderableType:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        if self._spinner is None:
            self._spinner = Spinner("dots", style="cyan")
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_column()
        line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_column(no_wrap=True, style="dim")
        line.add_row(self._spinner, Text(wait.label), f"{wait.seconds:.0f} s")
        return line
