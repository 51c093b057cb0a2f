"""Values of the YAML files, merged as Hydra does for the forms of defaults that the files use, without importing it.

For pages that describe settings and for completion, which must be quick. Interpolations stay as they are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from igrpo.config.composing.folders import MOUNTED, defaults, file_of, groups, read_yaml, shipped
from igrpo.shipped import merge

_MAXIMUM = 60  #: characters of a value in a text


@dataclass(frozen=True, slots=True)
class Preset:
    """Contents of a choice's file, with those of the files that it includes.

    Attributes:
        values: nested settings by their full paths.
        selects: choice of each group that the file selects, such as ``{"algorithm": "grpo"}``.
    """

    values: Mapping[str, Any]
    selects: Mapping[str, str]


def preset(group: str, name: str) -> Preset:
    """Return the contents of a choice. ``name`` may be one in a subfolder, such as ``quick/kl``.

    Raises:
        FileNotFoundError: the group has no such choice.
        yaml.YAMLError: the file is not valid YAML.
    """
    values, selects = _read(group, name, group.replace("/", "."))
    return Preset(values, selects)


def composed(chosen: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a run with these choices of groups, and the default choices of the others.

    Groups and choices that do not exist, and files that cannot be read, are ignored.
    """
    selected = {**defaults("train"), **{group: name for group, name in chosen.items() if group in groups()}}
    presets = [found for group, name in chosen.items() if group in _PRESETS for found in _try(group, name)]
    for found in presets:
        selected |= {group: name for group, name in found.selects.items() if group not in chosen}
    parts = [found for group, name in selected.items() if group not in _PRESETS for found in _try(group, name)]
    merged: dict[str, Any] = {}
    own = {
        key: value
        for key, value in read_yaml(shipped("conf") / "train.yaml").items()
        if key not in ("defaults", "hydra")
    }
    for values in [*(part.values for part in parts), own, *(found.values for found in presets)]:
        merged = merge(merged, values)
    return merged


#: Groups of files that set anything, and are applied after all others.
_PRESETS = (*MOUNTED, "condition", "debug")


def flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by dotted path; an empty mapping is a value."""
    if not (isinstance(values, Mapping) and values):
        yield prefix, values
        return
    for key, value in values.items():
        yield from flat(value, f"{prefix}.{key}" if prefix else str(key))


def text_of(value: Any) -> str:
    """Return a value as it is written in YAML, in one line; a long one is cut, and one that must be given is named."""
    if value == "???":
        return "(required)"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        text = f"[{', '.join(map(text_of, value))}]"
    elif isinstance(value, dict):
        text = "" if value else "{}"  # the values of a section are given one by one
    elif isinstance(value, str):
        text = " ".join(value.split()) or repr(value)
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MAXIMUM else f"{text[: _MAXIMUM - 3]}..."


def _try(group: str, name: str) -> list[Preset]:
    try:
        return [preset(group, name)]
    except (OSError, yaml.YAMLError):
        return []


def _read(group: str, name: str, package: str) -> tuple[dict[str, Any], dict[str, str]]:
    path = file_of(group, name)
    values, selects = read_yaml(path), dict[str, str]()
    if path.read_text(encoding="utf-8").startswith("# @package _global_"):
        package = ""
    merged: dict[str, Any] = {}
    own = {key: value for key, value in values.items() if key != "defaults"}
    for entry in [*values.get("defaults", []), *([] if "_self_" in values.get("defaults", []) else ["_self_"])]:
        if entry == "_self_":
            merged = merge(merged, _nested(package, own))
            continue
        key, choice = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if key is not None and key.startswith("override "):
            selects[key.removeprefix("override ").strip().lstrip("/")] = choice
            continue
        target, _, inside = (key or choice).partition("@")
        if key is not None:
            inner_group, inner_name = target.lstrip("/"), choice
        elif target.startswith("/"):
            inner_group, _, inner_name = target[1:].partition("/")
        else:
            inner_group, inner_name = group, (Path(name).parent / target).as_posix()
        inner, more = _read(inner_group, inner_name, ".".join(part for part in (package, inside) if part))
        merged, selects = merge(merged, inner), {**more, **selects}
    return merged, selects


def _nested(package: str, values: Mapping[str, Any]) -> dict[str, Any]:
    nested = dict(values)
    for name in reversed(package.split(".") if package else []):
        nested = {name: nested}
    return nested
