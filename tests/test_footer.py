"""Spinners and bars at the bottom of a terminal: one line each, never in a file, and nothing left behind."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from igrpo import console
from igrpo.console import footer_of, waiting
from tests.terminal import run


def terminal(width: int = 40) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def printed(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SPINNER_AFTER_S", 0.05)
    monkeypatch.setattr(console, "LINE_AFTER_S", 0.05)
    for name in ("FORCE_COLOR", "RANK"):
        monkeypatch.delenv(name, raising=False)


def test_a_long_wait_is_shown_and_removed() -> None:
    out = terminal()
    with waiting("importing [torch]", out) as wait:
        wait_until(lambda: "importing [torch] 0 s" in printed(out))
        wait.label = "step 3 of 9"
        wait_until(lambda: "step 3 of 9" in printed(out))
    assert printed(out).endswith("\r\x1b[2K\x1b[?25h\r")  # the line is erased, and the cursor is back


def test_a_short_wait_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SPINNER_AFTER_S", 60.0)
    out = terminal()
    with waiting("quick", out):
        pass
    assert printed(out) == ""


def test_a_wait_that_fails_is_removed_and_the_error_comes_through() -> None:
    out = terminal()

    def fail() -> None:
        with waiting("slow", out):
            wait_until(lambda: "slow" in printed(out))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert printed(out).count("\x1b[?25h") == 1


def test_of_many_waits_the_newest_is_shown_on_one_line() -> None:
    out = terminal(width=30)
    with waiting("outer", out):
        wait_until(lambda: "outer" in printed(out))
        with waiting("the judge, of a name that is too long for the line", out):
            wait_until(lambda: "the judge" in printed(out))
            assert len(footer_of(out)._console.render_lines(footer_of(out)._render(), pad=False)) == 1
        shown = len(printed(out))
        wait_until(lambda: "outer" in printed(out)[shown:])


def test_a_bar_and_a_wait_share_the_bottom_and_output_stands_above() -> None:
    out = terminal()
    footer = footer_of(out)

    def bar() -> Text:
        return Text("the bar")

    footer.add(bar)
    footer.add(bar)  # once is enough
    with waiting("saving", out):
        wait_until(lambda: "the bar\n" in printed(out) and "saving" in printed(out))
        out.print("a line")
    footer.remove(bar)
    footer.remove(bar)
    assert "a line\n" in printed(out)
    assert printed(out).count("\x1b[?25l") == printed(out).count("\x1b[?25h") == 1


@pytest.mark.parametrize("variables", [{"RANK": "1"}, {"FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_redrawn_in_a_log_or_by_another_rank(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    out = terminal()
    footer_of(out).add(lambda: Text("the bar"))
    assert printed(out) == ""


@pytest.mark.parametrize("lines", [True, False])
def test_elsewhere_a_wait_is_a_plain_line_if_asked_for(lines: bool) -> None:
    out = Console(file=io.StringIO(), width=40)
    with waiting("opening MLflow", out, lines=lines):
        if lines:
            wait_until(lambda: printed(out) != "")
        time.sleep(0.2)
    assert printed(out) == ("opening MLflow ... (0 s)\n" if lines else "")


MANY_THREADS = """
import threading, time
from rich.text import Text
from igrpo import console

console._REDRAW_EVERY_S = 0.0005
out = console.get_console()
footer = console.footer_of(out)
lines = [lambda: Text("footer one"), lambda: Text("footer two")]

def other():
    for i in range(60):
        out.print(f"other {i:02d}")
        time.sleep(0.003)

footer.add(lines[0])
thread = threading.Thread(target=other)
thread.start()
for i in range(60):
    footer.add(lines[1])
    out.print(f"rich {i:02d}")
    footer.remove(lines[1])
    print(f"plain {i:02d}")
    time.sleep(0.003)
thread.join()
footer.remove(lines[0])
"""


def test_threads_that_print_do_not_erase_each_other(tmp_path: Path) -> None:
    session = run([sys.executable, "-c", MANY_THREADS], 80, tmp_path)
    expected = [f"{kind} {i:02d}" for kind in ("other", "rich", "plain") for i in range(60)]
    assert sorted(session.lines) == sorted(expected)
