"""The README and the pages of docs/: their code blocks, commands and sections."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

#: Pages that a person writes, by path from the root of the repository.
WRITTEN = ("README.md", "experiments/README.md", *(f"docs/{page.name}" for page in sorted(DOCS.glob("*.md"))))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, language: str = "") -> list[str]:
    """The code blocks in a language; without a name: blocks of commands."""
    return [body for name, body in _BLOCK.findall(text) if name == language]


def section(text: str, heading: str) -> str:
    """The text under a heading, up to the next heading of any level; lines of code that begin with # are none."""
    quiet = _BLOCK.sub(lambda match: re.sub(r"^#", "\0", match[0], flags=re.MULTILINE), text)
    body = re.split(r"^#+ ", quiet.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return body.replace("\0", "#")


def commands(text: str) -> Iterator[list[str]]:
    """The words of every `igrpo` line in blocks of commands, without comments."""
    for line in "\n".join(blocks(text)).replace("\\\n", " ").splitlines():
        if line.startswith("igrpo "):
            yield shlex.split(line, comments=True)[1:]
