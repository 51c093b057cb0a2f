"""The shipped configuration as plain values, composed once a process, for tests that change a value or two."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from igrpo.config import RunConfig, config_values, parse_config
from igrpo.config.composing.composer import Composer


@cache
def _composed(overrides: tuple[str, ...]) -> RunConfig:
    with Composer("train") as composer:
        return composer.check_run(overrides).config


def values(*overrides: str) -> dict[str, Any]:
    """A fresh copy of the plain values that the overrides compose to."""
    return deepcopy(config_values(_composed(overrides)))


def changed(changes: Mapping[str, Any], *overrides: str) -> dict[str, Any]:
    """The same with the values at some dotted keys replaced (or added)."""
    result = values(*overrides)
    for key, value in changes.items():
        *sections, name = key.split(".")
        node = result
        for section in sections:
            node = node[section]
        node[name] = value
    return result


def group_size(config: RunConfig) -> int:
    """The size of training groups, where all of them have the same."""
    (size,) = config.plan.group_sizes
    return size


def config(changes: Mapping[str, Any] | None = None, *overrides: str) -> RunConfig:
    """The checked configuration of `changed`."""
    return parse_config(changed(changes or {}, *overrides))
