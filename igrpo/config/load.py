"""Conversion of plain values to a validated RunConfig. All problems are reported at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from igrpo.config.checks import cross_field_problems
from igrpo.config.error import ConfigError
from igrpo.config.schema import SCHEMA_VERSION, RunConfig
from igrpo.messages import did_you_mean, hint

_MISSING = object()


def parse_config(values: Mapping[str, Any], source: str = "the configuration") -> RunConfig:
    """Check plain values (no interpolations) against the schema and the cross-field rules.

    Raises:
        ConfigError: lists every problem found; for an unknown key, also the nearest known one.
    """
    try:
        config = RunConfig.model_validate(dict(values))
    except ValidationError as error:
        # one line per setting: a union reports each type that it tried
        found = {tuple(_without_tags(item["loc"], values)): item for item in reversed(error.errors())}
        # pydantic also calls a list too short if its items are invalid: report the items only
        wrong = {location[:-1] for location in found}
        found = {key: item for key, item in found.items() if item["type"] != "too_short" or key not in wrong}
        raise ConfigError([_describe(item, values) for item in reversed(found.values())], source) from None
    problems = cross_field_problems(config)
    if problems:
        raise ConfigError(problems, source)
    return config


def read_config(path: Path) -> RunConfig:
    """Read the resolved configuration stored in a run directory.

    Raises:
        ConfigError: the file is missing, is invalid YAML, has another schema version, or does not match the schema.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([f"{path} does not exist; is its folder a run directory?"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path} is not valid YAML: {error}"]) from None
    if not isinstance(values, dict):
        raise ConfigError([f"{path} is not a mapping"])
    version = values.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ConfigError([f"{path} has schema_version {version!r}; this igrpo reads version {SCHEMA_VERSION}"])
    return parse_config(values, str(path))


def config_values(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as plain nested values, as written to YAML and logged."""
    return config.model_dump(mode="json")


def config_hash(config: RunConfig) -> str:
    """Return twelve hexadecimal digits, equal for two runs exactly when all their settings are equal."""
    text = json.dumps(config_values(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _describe(error: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    location = _without_tags(error["loc"], values)
    key = ".".join(map(str, location))
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        return f"{key}: no such setting{hint(str(error['loc'][-1]), _known_fields(error['loc'][:-1]))}"
    if kind == "missing":
        return f"{key}: missing; give it a value"
    if kind == "union_tag_invalid":
        expected = str(error["ctx"]["expected_tags"])
        return f"{key}.name={error['ctx']['tag']!r}: not one of {expected}{_suggest(error['ctx']['tag'], expected)}"
    if kind == "literal_error":
        expected = str(error["ctx"]["expected"])
        return f"{key}={given!r}: not one of {expected}{_suggest(str(given), expected)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{key}={given!r}: {message[0].lower()}{message[1:]}"


def _suggest(word: str, expected: str) -> str:
    """Return a hint from pydantic's list of the accepted values, such as ``'a', 'b' or 'c'``."""
    return did_you_mean(word, [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(",")])


def _without_tags(location: Sequence[Any], values: Mapping[str, Any]) -> list[Any]:
    """Remove what pydantic adds to the location of a union's error: discriminator values and member names."""
    kept: list[Any] = []
    node: Any = values
    for i, part in enumerate(location):
        if isinstance(node, Mapping):
            if part not in node and node.get("name") == part and i + 1 < len(location):
                continue
            node = node.get(part, _MISSING)
        elif isinstance(node, list | tuple) and isinstance(part, int):
            node = node[part] if part < len(node) else _MISSING
        elif node is not _MISSING:
            continue  # a scalar has no parts, so this is the name of the type that was tried
        kept.append(part)
    return kept


def _known_fields(location: Sequence[Any]) -> list[str]:
    schema = TypeAdapter(RunConfig).json_schema()
    definitions = schema["$defs"]
    node: dict[str, Any] = schema
    for part in location:
        if "discriminator" in node:
            node = definitions[node["discriminator"]["mapping"][part].rsplit("/", 1)[1]]
            continue
        node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
        node = next((option for option in node.get("anyOf", ()) if option.get("type") != "null"), node)
        if "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[1]]
    return sorted(node.get("properties", {}))


__all__ = ["ConfigError", "config_hash", "config_values", "parse_config", "read_config"]
