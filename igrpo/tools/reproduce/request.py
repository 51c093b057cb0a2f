"""What `igrpo reproduce` is asked for, from its SETTING=VALUE arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from igrpo.config import ConfigError
from igrpo.tools.reproduce.names import table_names
from igrpo.tools.reproduce.tables import Scale, Table, read_table, scale_of

#: Settings of the command itself; all others are settings of the runs.
OWN = ("table", "quick", "model", "seed")

_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Request:
    """Table to make, with its form and grids.

    Attributes:
        name: value of ``table=``.
        quick: True for the form on a small model.
        model: value of ``model=`` (None: all of the table's models; of a quick table, the default one).
        settings: settings of the runs that were given.
        table, scale: the table, and its form with the chosen grids and seeds.
        output: the directory of its runs and results.
    """

    name: str
    quick: bool
    model: str | None
    settings: tuple[str, ...]
    table: Table
    scale: Scale
    output: Path


def read_request(settings: Sequence[str], output: Path | None) -> Request:
    """Split the settings into those of the command and those of the runs.

    Raises:
        ConfigError: no table, an unknown one, or a value that it does not have.
    """
    own: dict[str, str] = {}
    for text in settings:
        key, given, value = text.partition("=")
        if key in OWN and given:
            own[key] = value
    if "table" not in own:
        raise ConfigError([f"give a table, as in table=1; known: {', '.join(table_names())}"], "igrpo reproduce")
    name, quick = own["table"], _boolean(own.get("quick", "false"))
    table = read_table(name)
    scale = scale_of(name, table, quick=quick, model=own.get("model"))
    if "seed" in own:
        scale = scale.model_copy(update={"seeds": _seeds(own["seed"])})
    return Request(
        name=name,
        quick=quick,
        model=own.get("model"),
        settings=tuple(text for text in settings if text.partition("=")[0] not in OWN),
        table=table,
        scale=scale,
        output=(output or _default_output(name, own.get("model"), quick=quick)).absolute(),
    )


def _default_output(name: str, model: str | None, *, quick: bool) -> Path:
    stem = name if name.startswith("fig") else f"table{name}"
    parts = (stem, *(("quick", *([model] if model else [])) if quick else ()))
    return Path("reproduce") / "-".join(parts)


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ConfigError([f"quick={text}: give true or false"], "igrpo reproduce")
    return _BOOLEANS[text]


def _seeds(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise ConfigError([f"seed={text}: give different whole numbers, as in seed=0,1,2"], "igrpo reproduce")
    return tuple(map(int, parts))
