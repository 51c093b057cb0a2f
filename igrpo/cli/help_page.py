"""Groups, choices and settings on the help page of `igrpo train`, read from the YAML folders without Hydra."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from igrpo.config.composing.folders import MOUNTED, Choice, choices, defaults, groups

#: Column in which the description of a choice begins.
_TEXT_AT = 27

_SETTINGS = """\
Settings
  GROUP=CHOICE           select a part, such as algorithm=grpo
  SECTION.KEY=VALUE      set a value, such as trainer.steps=40 (`igrpo train --check` shows all of them)
  KEY=[A,B]  KEY=null    lists, and no value; a value with special characters needs two pairs of quotes: KEY="'a, b'"
  KEY=A,B --multirun     a sweep over values; sweep=NAME, or an experiment with a grid, is a sweep defined in a file
  resume=DIR             resume a run or a sweep; a few settings may change, such as trainer.steps
  tuned=SEARCH_DIR,...   use what sweep=search_lr found for each condition

Every run keeps its settings, checkpoints, metrics and log in runs/DATE/TIME_NAME (hydra.run.dir=DIR changes it)."""


def settings_help(width: int) -> str:
    """Return the groups with their choices, and the forms of settings, wrapped to ``width`` columns."""
    parts = ["\n".join(["Groups and their choices", *_groups(width)])]
    for group, folder in MOUNTED.items():
        title = f"{folder.capitalize()} ({group}=NAME; your own files in ./{folder} take precedence)"
        parts.append("\n".join([title, *_lines(choices(group), width)]))
    return "\n\n".join([*parts, _SETTINGS])


def _groups(width: int) -> Iterator[str]:
    default = defaults("train")
    for group in groups():
        if group not in MOUNTED:
            yield f"  {group}="
            yield from _lines(choices(group), width, default.get(group))


def _lines(listed: Sequence[Choice], width: int, default: str | None = None) -> Iterator[str]:
    for choice in listed:
        name = f"{choice.name}{' (default)' if choice.name == default else ''}"
        text = f"{choice.description}{' (yours)' if choice.own else ''}".strip()
        start, indent = f"    {name} ".ljust(_TEXT_AT), " " * _TEXT_AT
        if len(start) > _TEXT_AT or not text:  # a long name gets its own line
            yield start.rstrip()
            start = indent
        if text:
            yield textwrap.fill(text, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)
