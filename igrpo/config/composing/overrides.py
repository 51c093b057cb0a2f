"""Formatting and parsing of overrides: quoting for Hydra's grammar and for the shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, Quote, QuotedString, Sweep
from hydra.errors import HydraException

#: Functions of Hydra's grammar that make a sweep, each with an example.
SWEEP_FUNCTIONS = {
    "choice": "choice(1,2)",
    "range": "range(0,3)",
    "interval": "choice(1,2)",  # also works in a grid
    "glob": "glob(*)",
    "tag": "tag(name,choice(1,2))",
    "sort": "sort(2,1)",
    "shuffle": "shuffle(1,2)",
}


def quoted(text: Path | str) -> str:
    """Quote a text for Hydra's grammar, which parses it back unchanged."""
    literal: str = QuotedString(str(text), Quote.single).with_quotes()
    return literal


def setting(key: str, value: Path | str) -> str:
    """Return the override that sets ``key`` to a text, quoted for Hydra's grammar if necessary."""
    plain = f"{key}={value}"
    read = parse(plain)
    is_plain = read is not None and not read.is_sweep_override() and str(read.value()) == str(value)
    return plain if is_plain else f"{key}={quoted(value)}"


def in_shell(line: str) -> str:
    """Quote an argument for the shell, in double quotes if it contains single quotes and nothing else special."""
    return f'"{line}"' if "'" in line and not set('"$`\\!') & set(line) else shlex.quote(line)


def parse(line: str) -> Override | None:
    """Parse a line as an override in Hydra's grammar; None if it is invalid."""
    try:
        return OverridesParser.create().parse_overrides([line])[0]
    except HydraException:
        return None


def nested_function(item: Override) -> str | None:
    """Return an error message if a sweep function is among other values, where Hydra does not expand it; else None."""
    value = item.value()
    values = value.list if isinstance(value, ChoiceSweep) else value
    if isinstance(values, list | dict) and _has_function(values):
        return f"{in_shell(str(item.input_line))}: a sweep function cannot be among other values; write the values"
    return None


def _has_function(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(_has_function(one) for one in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, Sweep | Glob)


def is_hydras(text: str) -> bool:
    """Return True if an override, or its key, is about Hydra itself (launcher, sweeper, directories)."""
    return text.lstrip("+~").startswith(("hydra.", "hydra/"))


def is_readable(line: str) -> bool:
    """Return True if Hydra's grammar accepts the line."""
    return parse(line) is not None


def dotted_keys(values: Any, prefix: str = "") -> Iterator[str]:
    """Yield all dotted keys of nested mappings, sections included."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            key = f"{prefix}.{name}" if prefix else str(name)
            yield key
            yield from dotted_keys(value, key)
