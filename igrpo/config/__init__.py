"""Validated configuration of a run. Imports pydantic and yaml, but nothing heavy."""

from igrpo.config.load import ConfigError, config_hash, config_values, parse_config, read_config
from igrpo.config.schema import SCHEMA_VERSION, RunConfig

__all__ = ["SCHEMA_VERSION", "ConfigError", "RunConfig", "config_hash", "config_values", "parse_config", "read_config"]
