"""Names of the tables and of their models, read from the files of conf/reproduce. Needs neither Hydra nor pydantic."""

from __future__ import annotations

from pathlib import Path

from igrpo.config.composing.folders import read_yaml, shipped

#: File with the small models of the quick tables; it is no table itself.
SMALL_MODELS = "small_models"


def folder() -> Path:
    """Return the folder of the tables."""
    return shipped("conf") / "reproduce"


def table_names() -> list[str]:
    """Return the values of ``table=``."""
    return sorted(path.stem.removeprefix("table") for path in folder().glob("*.yaml") if path.stem != SMALL_MODELS)


def model_names() -> list[str]:
    """Return the values that ``model=`` has in some table."""
    small = read_yaml(folder() / f"{SMALL_MODELS}.yaml")["models"]
    tables = [read_yaml(path) for path in sorted(folder().glob("*.yaml")) if path.stem != SMALL_MODELS]
    return list(dict.fromkeys([*small, *(grid["model"] for table in tables for grid in table["full"]["grids"])]))
