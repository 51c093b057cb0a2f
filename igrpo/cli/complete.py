"""`igrpo complete LINE`: print the candidates for the last word of a command line, for the scripts of `completion`.

It must answer at each press of a key, so it reads YAML files and imports neither Hydra nor pydantic.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from igrpo.cli.arguments import Parser
from igrpo.config.composing.folders import choices, groups
from igrpo.config.composing.values import composed

#: Settings whose value is the path of a file or a directory.
_PATHS = ("resume", "tuned", "data.path", "model.name_or_path", "hydra.run.dir", "hydra.sweep.dir")
_LAUNCHERS = ("basic", "joblib", "ray", "submitit_local", "submitit_slurm")


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "complete", "Print the candidates for the last word of a command line.", ('igrpo complete "igrpo tr"',)
    )
    made.add_argument("line", help="the command line up to the cursor")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    for candidate in candidates(asked.line):
        print(candidate)
    return 0


def candidates(line: str) -> list[str]:
    """Return what the last word of a command line may become, in alphabetical order; the words before it are done.

    A candidate that ends with ``=``, ``.`` or ``/`` is the beginning of a word.
    """
    from igrpo.cli.main import VERBS

    words = [text.replace("\\ ", " ") for text in re.split(r"(?<!\\) ", line)]
    word, done = words[-1], [text for text in words[1:-1] if text]
    if not done:
        found: Iterable[str] = (*VERBS, "--help", "--version")
    elif done[0] in VERBS:
        found = _arguments(import_module(f"igrpo.cli.{done[0]}").parser(), done[1:], word)
    else:
        found = ()
    return sorted({text for text in found if text.startswith(word)})


def _arguments(made: Parser, done: Sequence[str], word: str) -> Iterator[str]:
    made.add_help_option()
    options = {name: action for action in made._actions for name in action.option_strings}
    before = options.get(done[-1]) if done else None
    if before is not None and before.dest == "help":
        yield from _topics(made)
        return
    if before is not None and before.nargs != 0:
        yield from (str(choice) for choice in before.choices or _paths(word))
        if before.nargs is None:  # otherwise the value may be left out
            return
    if word.startswith("-"):
        yield from options
    elif made.takes_settings:
        own = made.own_settings()
        key, given, _ = word.partition("=")
        if given and key in own:
            yield from (f"{key}={value}" for value in own[key])
            return
        yield from (f"{name}=" for name in own)
        yield from _settings([text for text in done if text.partition("=")[0] not in own], word)
        if made.takes_path and "=" not in word:
            yield from _paths(word)
    else:
        positional = [action for action in made._actions if not action.option_strings]
        listed = [str(choice) for action in positional for choice in action.choices or ()]
        yield from listed or _paths(word)


def _settings(done: Sequence[str], word: str) -> Iterator[str]:
    key, given, value = word.partition("=")
    plus = key[: len(key) - len(key.lstrip("+~"))]
    name = key.removeprefix(plus)
    values = composed({key: value for key, _, value in (text.partition("=") for text in done)})
    if not given:
        yield from (f"{plus}{candidate}" for candidate in _names(name, values))
        return
    first = f"{key}={value[: value.rfind(',') + 1]}"  # several values of a sweep
    if name in _PATHS:
        yield from (f"{first}{path}" for path in _paths(value.rpartition(",")[2]))
    elif name in groups():
        yield from (f"{first}{choice.name}" for choice in choices(name))
    elif name == "hydra/launcher":
        yield from (f"{first}{launcher}" for launcher in _LAUNCHERS)
    elif isinstance(_at(values, name), bool):
        yield from (f"{first}true", f"{first}false")


def _names(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield groups and settings: the names at the level of ``name``, and ``NAME.`` for a section."""
    section, dot, _ = name.rpartition(".")
    if not dot:
        yield from (f"{text}=" for text in (*groups(), "resume", "tuned", "hydra/launcher", "hydra.run.dir"))
    inside = _at(values, section) if dot else values
    for key, value in inside.items() if isinstance(inside, Mapping) else ():
        if key != "hydra":
            yield f"{section}{dot}{key}{'.' if isinstance(value, Mapping) and value else '='}"


def _topics(made: Parser) -> Iterator[str]:
    if made.has_topics:
        yield from groups()
        for key, value in composed({}).items():
            yield from [f"{key}.{name}" for name in value] if isinstance(value, Mapping) else [key]


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _paths(start: str) -> Iterator[str]:
    """Yield the paths that begin with ``start``; those of directories end with a slash."""
    folder, slash, name = start.rpartition("/")
    try:
        for path in Path(f"{folder}{slash}" or ".").expanduser().iterdir():
            if path.name.startswith(name) and (name or not path.name.startswith(".")):
                yield f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}"
    except OSError:
        return
