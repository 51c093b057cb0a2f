"""Help page of `igrpo train --help`, built from the YAML folders without importing Hydra or other heavy modules."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from igrpo.config.composing.folders import MOUNTED, Choice, choices, defaults, groups

#: Column in which the description of a choice begins.
_TEXT_AT = 27

_USAGE = """\
usage: igrpo train [SETTING=VALUE ...] [--check] [--multirun] [--plan]

  --check         check the settings, show what they resolve to, and train nothing
  --multirun, -m  one run for every combination of comma-separated values
  --plan          of a sweep: measure a step, print what the sweep will take, and train nothing
  --no-measure    of a sweep: start without measuring a step first
  --help, -h      this page"""

_VALUES = """\
Settings
  GROUP=CHOICE           picks a part, such as algorithm=grpo
  SECTION.KEY=VALUE      sets a value, such as trainer.steps=40 (`igrpo train --check` shows all of them)
  KEY=[A,B]  KEY=null    lists and nothing; a value with signs in it wants two pairs of quotes: KEY="'a, b'"
  KEY=A,B --multirun     a sweep over values; sweep=NAME, or an experiment with a grid, is one that a file describes

Examples
  igrpo train experiment=quickstart
  igrpo train experiment=quickstart algorithm=grpo seed=1
  igrpo train experiment=compare data.path=FILE model.name_or_path=DIRECTORY --plan
  igrpo train resume=RUN_DIR                     go on from the last checkpoint
  igrpo train resume=RUN_DIR trainer.steps=200   and further than first planned
  igrpo train experiment=quickstart sweep=grpo_vs_igrpo
  igrpo train sweep=grpo_vs_igrpo hydra/launcher=joblib hydra.launcher.n_jobs=4
  igrpo train resume=SWEEP_DIR                   go on with what is left of a sweep
  igrpo train sweep=grpo_vs_igrpo tuned=SEARCH_DIR,SEARCH_DIR
                                                 with what sweep=search_lr found for each condition

Every run keeps its settings, checkpoints, metrics and log in runs/DATE/TIME_NAME (hydra.run.dir=DIR: elsewhere)."""


def page() -> str:
    """Return the help page, wrapped to the width of the terminal."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    parts = [_USAGE, "\n".join(["Groups and their choices", *_groups(width)])]
    for group, folder in MOUNTED.items():
        title = f"{folder.capitalize()} ({group}=NAME; your own files in ./{folder} come first)"
        parts.append("\n".join([title, *_lines(choices(group), width)]))
    return "\n\n".join([*parts, _VALUES])


def _groups(width: int) -> Iterator[str]:
    default = defaults("train")
    for group in groups():
        if group not in MOUNTED:
            yield f"  {group}="
            yield from _lines(choices(group), width, default.get(group))


def _lines(found: list[Choice], width: int, default: str | None = None) -> Iterator[str]:
    for choice in found:
        name = f"{choice.name}{' (default)' if choice.name == default else ''}"
        text = f"{choice.description}{' (yours)' if choice.own else ''}".strip()
        start, indent = f"    {name} ".ljust(_TEXT_AT), " " * _TEXT_AT
        if len(start) > _TEXT_AT or not text:  # a long name gets its own line
            yield start.rstrip()
            start = indent
        if text:
            yield textwrap.fill(text, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)
