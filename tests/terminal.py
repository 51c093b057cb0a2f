"""A terminal of a given width: a command runs in it, and its screen and its lines can be looked at.

python -m tests.terminal 80 igrpo train experiment=quickstart trainer.steps=3    # prints what the screen shows
"""

from __future__ import annotations

import fcntl
import html
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyte

_HEIGHT = 300
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass
class Session:
    """What a command wrote to its terminal.

    Attributes:
        code: the exit code.
        lines: the final screen, without the empty lines at its end.
        raw: all output, with its control sequences.
    """

    code: int = 0
    lines: list[str] = field(default_factory=list)
    raw: str = ""

    @property
    def drawn(self) -> list[str]:
        """All lines that were ever written, also those that others replaced, before the terminal wrapped them."""
        return [line for line in re.split(r"[\r\n]+", _SEQUENCE.sub("", self.raw)) if line]

    def save(self, path: Path) -> None:
        """Write the screen as an SVG picture, to be looked at."""
        width, height = max(map(len, self.lines), default=1), len(self.lines)
        rows = (
            f'<text x="8" y="{18 * (i + 1)}" xml:space="preserve">{html.escape(line)}</text>'
            for i, line in enumerate(self.lines)
        )
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{8.45 * width + 16:.0f}" height="{18 * height + 12}">'
            '<rect width="100%" height="100%" fill="#111"/>'
            f'<g font-family="DejaVu Sans Mono, monospace" font-size="14" fill="#ddd">{"".join(rows)}</g></svg>\n',
            encoding="utf-8",
        )


def run(
    command: Sequence[str], width: int, folder: Path, variables: Mapping[str, str] | None = None, limit_s: float = 240.0
) -> Session:
    """Run a command in a terminal of ``width`` columns until it ends."""
    screen = pyte.Screen(width, _HEIGHT)
    stream = pyte.ByteStream(screen)
    unset = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "CI"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"TERM": "xterm-256color", **(variables or {})}
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], list(command), environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _HEIGHT, width, 0, 0))
    session, chunks, deadline = Session(), [], time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # the other side has closed
            break
        if not chunk:
            break
        chunks.append(chunk)
        stream.feed(chunk)
    else:
        os.kill(process, 9)
    session.code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(terminal)
    session.raw = b"".join(chunks).decode("utf-8", errors="replace")
    session.lines = [line.rstrip() for line in screen.display]
    while session.lines and not session.lines[-1]:
        session.lines.pop()
    return session


if __name__ == "__main__":
    shown = run(sys.argv[2:], int(sys.argv[1]), Path.cwd())
    print("\n".join(shown.lines))
    if "IGRPO_SCREENS" in os.environ:
        shown.save(Path(os.environ["IGRPO_SCREENS"]) / f"screen-{sys.argv[1]}.svg")
    sys.exit(shown.code)
