"""Defaults of the settings by choice, and what each choice sets, as texts for pages that describe them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from igrpo.config.composing.folders import choices, defaults, groups
from igrpo.config.composing.values import composed, flat, preset, text_of
from igrpo.config.setting import Section


def choice_of_kind(section: Section, kind: str) -> str | None:
    """Return the choice whose values are shown as the defaults of a kind; None if the section is not a group.

    That is the default choice if it is of this kind, else the choice of the same name, else the first one.
    """
    if section.name not in groups():
        return None
    usual = defaults("train").get(section.name)
    names = [choice.name for choice in choices(section.name)]
    ordered = [name for name in (usual, kind, *names) if name in names]
    return next((name for name in ordered if kind in ("", kind_of(section, name))), None)


def kind_of(section: Section, choice: str) -> str:
    """Return the kind of settings that a choice has, which is the empty text in a section of one kind."""
    if "" in section.kinds:
        return ""
    return str(preset(section.name, choice).values[section.name]["name"])


def default_values(section: Section, choice: str | None) -> dict[str, str]:
    """Return the default of each setting of a section by path, with a choice of its group."""
    values = composed({} if choice is None else {section.name: choice}).get(section.name)
    return {path: text_of(value) for path, value in _with_sections(section.name, values).items()}


def what_it_sets(section: Section, choice: str) -> list[str]:
    """Return what a choice sets differently from the choice whose values are shown as the defaults of its kind.

    A section that the latter lacks is one item, such as ``reward.parts.format={...}``.
    """
    base = choice_of_kind(section, kind_of(section, choice))
    if base is None or base == choice:
        return []
    return list(_differences(composed({section.name: base}), composed({section.name: choice})))


def _differences(before: Any, after: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in after.items():
        path, known = f"{prefix}{key}", before.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            yield from _differences(known, value, f"{path}.")
        elif value != known and path.split(".")[1:] != ["name"]:  # a section's name says nothing more
            yield f"{path}={text_of(value) or '{...}'}"


def what_a_preset_sets(group: str, choice: str) -> list[str]:
    """Return the choices that a preset selects and the settings that its file sets, as overrides."""
    found = preset(group, choice)
    settings = [f"{path}={text_of(value)}" for path, value in flat(found.values) if path]
    return [*(f"{group}={name}" for group, name in found.selects.items()), *settings]


def _with_sections(path: str, values: Any) -> dict[str, Any]:
    """Return the values by path, those of sections included."""
    found = {path: values}
    if isinstance(values, dict):
        for name, value in values.items():
            found |= _with_sections(f"{path}.{name}", value)
    return found
