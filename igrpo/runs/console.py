"""The console that everything with styles is printed to, and standard streams whose reader may leave early."""

from __future__ import annotations

import io
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@cache
def get_console(*, stderr: bool = False) -> Console:
    """Return the console of this process, which prints text as it is.

    Settings, paths, errors and model output contain brackets, so markup is off; styled text is a `rich.text.Text`.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def outlive_reader() -> None:
    """Let the program finish, with its own exit code, when the reader of its output leaves, as in ``igrpo ... | head``.

    What is written afterwards is discarded; a training run goes on to its end.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # not where it is closed (None) or captured
            stream.flush()
            file = io.BufferedWriter(_Outlet(stream.fileno(), "wb", closefd=False))
            kept = {key: getattr(stream, key) for key in ("encoding", "errors", "line_buffering", "write_through")}
            setattr(sys, name, io.TextIOWrapper(file, **kept))


def reader_left() -> bool:
    """Return whether nobody reads the standard output any more (see `outlive_reader`)."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _Outlet) and raw.is_abandoned


class _Outlet(io.FileIO):
    """A file descriptor that becomes the null device when writing to it fails for want of a reader."""

    is_abandoned = False

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            self.is_abandoned = True
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return super().write(data)
