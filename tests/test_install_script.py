"""`make install` is quiet: one line that moves, a log, and the end of the log where pip fails. pip is a fake one here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.terminal import run

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "install.sh"

WORKS = """
echo 'Obtaining file:///somewhere'
for name in torch numpy; do echo "Collecting $name>=1 (from igrpo)"; sleep 0.6; done
echo 'Requirement already satisfied: rich in place'
sleep 1.2
echo 'Installing collected packages: torch, numpy, igrpo'
sleep 1.2
echo 'Successfully installed torch-2 numpy-2 igrpo-0.1'
"""
FAILS = 'for i in $(seq 1 30); do echo "line $i"; done; echo "ERROR: no such package" >&2; exit 3'


def environment(folder: Path, pip: str) -> Path:
    """A folder like a virtual environment, whose python is a script that checks how it is called."""
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\n[ "$*" = "-m pip install -e ." ] || exit 99\n{pip}\n')
    python.chmod(0o755)
    return folder


def install(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), "venv", "igrpo", "-e", "."],
        cwd=folder, env=os.environ | variables, text=True, capture_output=True, check=False,
    )  # fmt: skip


def test_in_a_log_an_installation_is_two_lines(tmp_path: Path) -> None:
    done = install(environment(tmp_path, WORKS))
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first == "installing igrpo into venv; log: venv/install.log"
    assert last.startswith("  installed 3 packages in 0:0")
    assert "Collecting numpy>=1" in (tmp_path / "venv" / "install.log").read_text()


def test_on_a_terminal_a_line_moves(tmp_path: Path) -> None:
    session = run(["sh", str(SCRIPT), "venv", "igrpo", "-e", "."], 80, environment(tmp_path, WORKS))
    assert session.code == 0
    assert any("2 packages found, numpy" in line or "3 packages found, numpy" in line for line in session.drawn)
    assert any("3 packages to install" in line for line in session.drawn)
    assert len(session.lines) == 2
    assert session.lines[1].startswith("  installed 3 packages in 0:0")


def test_a_failure_shows_the_end_of_the_log_and_has_the_exit_code_of_pip(tmp_path: Path) -> None:
    done = install(environment(tmp_path, FAILS))
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert "the end of venv/install.log" in lines[0]
    assert (lines[1], lines[-1]) == ("line 12", "ERROR: no such package")  # 20 of 31 lines


def test_everything_is_shown_if_asked_for(tmp_path: Path) -> None:
    done = install(environment(tmp_path, FAILS), V="1")
    assert (done.returncode, done.stdout.splitlines()[:2]) == (3, ["line 1", "line 2"])
    assert not (tmp_path / "venv" / "install.log").exists()


@pytest.mark.parametrize("target", [".venv/installed", ".venv-vllm/installed", ".venv-bench/installed"])
def test_every_rule_of_make_that_installs_uses_it(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "pip install" not in makefile
    (rule,) = [part for part in makefile.split("\n\n") if f"{target}:" in part]
    assert f"@$(INSTALL) {target.partition('/')[0]} " in rule
