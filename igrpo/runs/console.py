"""The shared console for styled text, and standard streams that survive a closed pipe."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from igrpo.console import get_console, waiting

__all__ = ["get_console", "outlive_reader", "reader_left", "waiting"]


def outlive_reader() -> None:
    """Let the program finish with its own exit code after the output pipe is closed, as in ``igrpo ... | head``.

    Later output is discarded; a training run continues to its end.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # not if it is closed (None) or captured
            stream.flush()
            file = io.BufferedWriter(_Outlet(stream.fileno(), "wb", closefd=False))
            kept = {key: getattr(stream, key) for key in ("encoding", "errors", "line_buffering", "write_through")}
            setattr(sys, name, io.TextIOWrapper(file, **kept))


def reader_left() -> bool:
    """True if the reader of the standard output has closed the pipe (see `outlive_reader`)."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _Outlet) and raw.is_abandoned


class _Outlet(io.FileIO):
    """A file descriptor that is redirected to the null device when its pipe is closed."""

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
