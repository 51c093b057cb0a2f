"""Every setting with its type, choices and description, from the JSON schema of the run's configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from igrpo.config.schema import RunConfig

_NAMES = {"integer": "int", "number": "float", "boolean": "bool", "string": "str", "null": "null", "object": "mapping"}
#: Keywords of JSON schema for bounds, as they are written after a type.
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting by its dotted path; a part of it that users name themselves is written as ``NAME``.

    Attributes:
        path: such as ``trainer.steps``.
        type: such as ``int > 0``, ``float or null``.
        choices: the accepted texts, if they are a fixed list.
        description: one or two sentences.
    """

    path: str
    type: str
    choices: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True)
class Section:
    """A top-level part of the configuration.

    ``kinds`` has the settings of each value of its ``name``; if all its choices have the same settings, the only key is
    the empty text. A setting such as ``seed`` is a section with itself as its only setting.
    """

    name: str
    description: str
    kinds: Mapping[str, tuple[Setting, ...]]

    @property
    def is_setting(self) -> bool:
        """True if the section is a single value."""
        return [setting.path for setting in self.kinds.get("", ())] == [self.name]


@cache
def sections() -> dict[str, Section]:
    """Return all sections by name, in the order of the schema."""
    schema = RunConfig.model_json_schema()
    definitions = schema["$defs"]
    found = {}
    for name, node in schema["properties"].items():
        members = node.get("discriminator", {}).get("mapping", {"": ""})
        kinds = {
            kind: tuple(_settings(name, {"$ref": reference} if reference else node, definitions))
            for kind, reference in members.items()
        }
        found[name] = Section(name, _description(node, definitions), kinds)
    return found


def all_settings() -> dict[str, tuple[Setting, ...]]:
    """Return all settings by path; several kinds of a section may each have one of the same path."""
    found: dict[str, tuple[Setting, ...]] = {}
    for section in sections().values():
        for settings in section.kinds.values():
            for setting in settings:
                found[setting.path] = tuple(dict.fromkeys((*found.get(setting.path, ()), setting)))
    return found


def _settings(path: str, node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Setting]:
    content, inside = _content(node), path
    if isinstance(entries := content.get("additionalProperties"), dict):
        if "discriminator" in entries:
            yield Setting(path, "section", (), _description(node, definitions))
            yield from _settings_by_kind(f"{path}.NAME", entries, definitions)
            return
        if "$ref" in entries:
            content, inside = entries, f"{path}.NAME"
    mapping = {"": content["$ref"]} if "$ref" in content else content.get("discriminator", {}).get("mapping", {})
    members = [definitions[reference.rpartition("/")[2]]["properties"] for reference in mapping.values()]
    if not members:
        yield Setting(path, _type(node), tuple(dict.fromkeys(_choices(node))), _description(node, definitions))
        return
    if "." in path:
        yield Setting(path, "section", (), _description(node, definitions))
        if any("const" in properties.get("name", {}) for properties in members):
            return  # the settings of a choice of a group, listed there
    found: dict[str, Setting] = {}
    for properties in members:
        for name in sorted(properties, key="name".__ne__):  # the name first
            for setting in _settings(f"{inside}.{name}", properties[name], definitions):
                found[setting.path] = _merged(found.get(setting.path, setting), setting)
    yield from found.values()


def _merged(one: Setting, other: Setting) -> Setting:
    """Return the setting of two kinds of a section: with the choices and, if they differ, the descriptions of both."""
    texts = dict.fromkeys((one.description, other.description))
    return replace(one, choices=tuple(dict.fromkeys((*one.choices, *other.choices))), description=" ".join(texts))


def _settings_by_kind(path: str, node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Setting]:
    """Yield the settings of a section of several kinds. What is not the same in all kinds begins with its kinds."""
    kinds_of: dict[Setting, list[str]] = {}
    mapping = node["discriminator"]["mapping"]
    for kind, reference in mapping.items():
        properties = definitions[reference.rpartition("/")[2]]["properties"]
        for name in sorted(properties, key="name".__ne__):  # the name first
            for setting in _settings(f"{path}.{name}", properties[name], definitions):
                kinds_of.setdefault(setting, []).append(kind)
    for setting, kinds in sorted(kinds_of.items(), key=lambda item: item[1] != list(mapping)):
        named = "" if len(kinds) == len(mapping) else f"{', '.join(f'`{kind}`' for kind in kinds)}: "
        yield replace(setting, description=named + setting.description)


def _content(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a section that may be null consists of; any other node as it is."""
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    is_section = len(options) == 1 and ("$ref" in options[0] or "discriminator" in options[0])
    return options[0] if is_section else node


def _description(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return a description; the schema leaves out that of a field which is also that of its section."""
    reference = _content(node).get("$ref", "")
    text: str = node.get("description") or definitions.get(reference.rpartition("/")[2], {}).get("description", "")
    return " ".join(text.split())


def _choices(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the accepted texts of a value, or of the items of a list."""
    for option in node.get("anyOf", [node]):
        listed = option.get("items", option) if option.get("type") == "array" else option
        yield from (str(choice) for choice in listed.get("enum", [listed["const"]] if "const" in listed else []))


def _type(node: Mapping[str, Any]) -> str:
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_type(option) for option in node["anyOf"]))
    name = _NAMES.get(node.get("type", ""), "any")
    if "prefixItems" in node:
        return f"list of {len(node['prefixItems'])}: {_type(node['prefixItems'][0])}"
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    bounds = [f"{sign} {node[key]}" for key, sign in _BOUNDS.items() if key in node]
    return " ".join([name, " and ".join(bounds)]).strip()
