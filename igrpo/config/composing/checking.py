"""Validation of a composed configuration: interpolations, missing values, schema and condition label."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from igrpo.config import ConfigError, RunConfig, parse_config
from igrpo.config.composing.labels import label_problems

#: Example values for the error message of a setting without a value.
_PLACEHOLDERS = {"path": "FILE", "dataset": "NAME", "name_or_path": "DIRECTORY", "target": "MODULE:CLASS"}


def checked(config: DictConfig) -> RunConfig:
    """Validate a composed configuration. The ``hydra`` node is left out, but its choices are used to check the label.

    Raises:
        ConfigError: lists every missing value, every interpolation that fails, every value that the schema rejects,
            and every setting that does not match the condition's label.
    """
    problems: dict[str, str] = {}
    values = {str(key): _resolved(config, key, str(key), problems) for key in config if key != "hydra"}
    labels = list(label_problems(config))
    try:
        run = parse_config(values)
    except ConfigError as error:
        others = [text for text in error.problems if not _is_about(text, problems)]
        raise ConfigError([*problems.values(), *others, *labels]) from None
    if problems or labels:
        raise ConfigError([*problems.values(), *labels])
    return run


def _resolved(node: DictConfig | ListConfig, key: Any, path: str, problems: dict[str, str]) -> Any:
    """Return the plain value at ``key``; if it cannot be resolved, add to ``problems`` and return a placeholder."""
    if OmegaConf.is_missing(node, key):
        example = _PLACEHOLDERS.get(str(key), "VALUE")
        problems[path] = f"{path}: missing; give it a value, such as {path}={example}"
        return "???"
    try:
        value = node[key]
    except OmegaConfBaseException as error:
        problems[path] = f"{path}: {_reason(node, key, error)}"
        return "???"
    if isinstance(value, DictConfig):
        return {name: _resolved(value, name, f"{path}.{name!s}", problems) for name in value}
    if isinstance(value, ListConfig):
        return [_resolved(value, i, f"{path}.{i}", problems) for i in range(len(value))]
    return value


def _reason(node: DictConfig | ListConfig, key: Any, error: OmegaConfBaseException) -> str:
    raw = OmegaConf.to_container(node, resolve=False)
    text = raw[key] if isinstance(raw, dict | list) else None
    if isinstance(error, InterpolationToMissingValueError):
        return f"{text} points to a setting without a value"
    first = str(error).strip().splitlines()[0]
    reason = first.partition(" raised while resolving interpolation: ")[2] or first
    unset = re.search(r"Environment variable '(.+)' not found", reason)
    return f"{text} cannot be resolved: " + (f"the environment variable {unset[1]} is not set" if unset else reason)


def _is_about(problem: str, keys: dict[str, str]) -> bool:
    return any(problem.startswith((f"{key}=", f"{key}:")) for key in keys)
