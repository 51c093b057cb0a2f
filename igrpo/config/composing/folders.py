"""The config groups and their choices, read from the folders of YAML files. Does not need Hydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from igrpo.shipped import PACKAGE, shipped

__all__ = ["MOUNTED", "PACKAGE", "PLACES", "Choice", "choices", "defaults", "folders_of_group", "groups", "shipped"]

#: Command at the end of a preset's first comment line (or on the next lines); lists of descriptions leave it out.
_COMMAND_AT_END = re.compile(r":(\s+`?igrpo .*)?$")
_END = re.compile(rf"[.?!]$|{_COMMAND_AT_END.pattern}")

#: Top-level folders that serve as config groups, by group name.
MOUNTED = {"experiment": "experiments", "sweep": "sweeps"}

#: How a choice is selected in groups whose place is not a section of the same name.
PLACES = {
    "benchmark": "+benchmark@evaluation.benchmarks.NAME",
    "judge_prompt": "judge_prompt@reward.prompt",
    "test_time": "+test_time@evaluation.test_time.NAME",
}

#: Folders of conf/ that are no groups of a run: Hydra's own, and the tables of `igrpo reproduce`.
_NO_GROUPS = ("hydra", "reproduce")


def folders_of_group(group: str) -> list[Path]:
    """Return the folders that hold a group's choices; the user's own ./experiments and ./sweeps come first."""
    if group not in MOUNTED:
        return [shipped("conf") / group]
    folder = MOUNTED[group]
    own, packaged = Path.cwd() / folder, shipped(folder)
    if own.is_dir() and own.resolve() != packaged.resolve():
        return [own, packaged]
    return [packaged]


def file_of(group: str, name: str) -> Path:
    """Return the file of a choice, which may be one in a subfolder, such as ``quick/kl``.

    Raises:
        FileNotFoundError: the group has no such choice.
    """
    for folder in folders_of_group(group):
        if (path := folder / f"{name}.yaml").is_file():
            return path
    raise FileNotFoundError(f"{group} has no choice {name!r}")


@dataclass(frozen=True, slots=True)
class Choice:
    """A YAML file of a group: its name, the first line of its comment, and whether the user wrote it.

    If an installed igrpo runs in a checkout of this project, the files of the checkout that equal the shipped ones do
    not count as the user's.
    """

    name: str
    description: str
    own: bool


def groups() -> list[str]:
    """Return all config groups in alphabetical order, with experiments and sweeps last, and without Hydra's own."""
    folders = (path.name for path in shipped("conf").iterdir() if path.is_dir() and path.name not in _NO_GROUPS)
    return [*sorted(folders), *MOUNTED]


def defaults(primary: str) -> dict[str, str]:
    """Return the default choice of each group in the primary configuration."""
    values = read_yaml(shipped("conf") / f"{primary}.yaml")
    entries = (item for entry in values["defaults"] if isinstance(entry, dict) for item in entry.items())
    return {group: choice for group, choice in entries if choice is not None}


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a YAML file; an empty one if it has none.

    Raises:
        OSError: the file cannot be read.
        yaml.YAMLError: it is not valid YAML.
    """
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> Mapping[str, Any]:
    values = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # the former is ten times as fast
    return values if isinstance(values, dict) else {}


def choices(group: str) -> list[Choice]:
    """Return the choices of a group. A user's file takes precedence over a shipped one of the same name."""
    found: dict[str, Choice] = {}
    folders = folders_of_group(group)
    for folder in folders:
        for path in _yaml_files(folder):
            file = path.relative_to(folder)
            name = file.with_suffix("").as_posix()
            found.setdefault(name, Choice(name, _description(path), not _is_shipped(path, folders[-1] / file)))
    return [found[name] for name in sorted(found)]


def _is_shipped(path: Path, shipped_file: Path) -> bool:
    return shipped_file.is_file() and path.read_bytes() == shipped_file.read_bytes()


def _yaml_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*.yaml") if path.is_file())


def _description(path: Path) -> str:
    """Return the first sentence of the comment at the start of a file, or more, to the end of its line."""
    found = ""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.lstrip("#").strip()
            if not line.startswith("#") or (found and not text):
                break
            if text and not text.startswith("@package"):
                found = f"{found} {text}".lstrip()
                if _END.search(found):
                    break
    return _COMMAND_AT_END.sub("", found)
