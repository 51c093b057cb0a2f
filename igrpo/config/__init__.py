"""Validated configuration of a run. Imports pydantic and yaml on first use, and nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from igrpo.config.error import ConfigError

if TYPE_CHECKING:
    from igrpo.config.load import config_hash, config_values, parse_config, read_config
    from igrpo.config.schema import SCHEMA_VERSION, RunConfig

__all__ = ["SCHEMA_VERSION", "ConfigError", "RunConfig", "config_hash", "config_values", "parse_config", "read_config"]


def __getattr__(name: str) -> Any:
    """Import what the pages of help and completion do without, when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("igrpo.config.load"), name)
