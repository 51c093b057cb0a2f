"""The long pages of `igrpo train --help TOPIC`: a group, a section, a choice, or one setting."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from igrpo.cli.help_page import FORMS
from igrpo.config import ConfigError
from igrpo.config.choice_defaults import choice_of_kind, default_values, kind_of, what_it_sets
from igrpo.config.composing.folders import MOUNTED, PLACES, Choice, choices, defaults, file_of, groups
from igrpo.config.setting import Section, Setting, all_settings, sections
from igrpo.messages import hint, setting_hint

#: Column in which the description of a choice begins.
_TEXT_AT = 27


def topic_page(topic: str, width: int) -> str:
    """Return the page of a topic, wrapped to ``width`` columns.

    Args:
        topic: a group (``model``), a choice (``model=tiny``), a section (``budget``, ``objective.advantage``) or a
            setting (``trainer.steps``).
        width: number of columns.

    Raises:
        ConfigError: there is nothing of this name; the message suggests the nearest one.
    """
    name, given, choice = topic.partition("=")
    if name in groups():
        lines = _choice_page(name, choice, width) if given and choice else _group_page(name, width)
    elif name in sections():
        lines = _section_page(sections()[name], width)
    elif name in all_settings():
        lines = _setting_page(name, width)
    elif forms := [f"  {form}   {meaning}" for form, meaning in FORMS.items() if form.startswith(f"{name}=")]:
        lines = iter(forms)
    else:
        known = list(dict.fromkeys([*groups(), *sections(), *all_settings()]))
        raise ConfigError([f"--help {topic}: no such group or setting{setting_hint(name, known)}"], "the command line")
    return "\n".join(lines)


def choice_lines(listed: Sequence[Choice], width: int, default: str | None = None) -> Iterator[str]:
    """Yield the choices of a group with their descriptions."""
    for choice in listed:
        name = f"{choice.name}{' (default)' if choice.name == default else ''}"
        text = f"{choice.description}{' (yours)' if choice.own else ''}".strip()
        start, indent = f"    {name} ".ljust(_TEXT_AT), " " * _TEXT_AT
        if len(start) > _TEXT_AT or not text:  # a long name gets its own line
            yield start.rstrip()
            start = indent
        if text:
            yield textwrap.fill(text, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)


def _group_page(group: str, width: int) -> Iterator[str]:
    section = sections().get(group)
    folder = MOUNTED.get(group)
    chosen = "CHOICE" if group in PLACES else "NAME"
    about = f"{folder}/NAME.yaml; your own files in ./{folder} take precedence"
    about = about if folder else f"conf/{group}/{chosen}.yaml"
    yield from _filled(f"{PLACES.get(group, group)}={chosen} selects {about}.", width)
    if section is not None:
        yield from _filled(section.description, width)
    yield from ("", "choices:", *choice_lines(choices(group), width, defaults("train").get(group)))
    if section is not None and not section.is_setting:
        yield from _kinds(section, width)
    yield from ("", f"igrpo train --help {group}=NAME shows what one of them sets.")


def _section_page(section: Section, width: int) -> Iterator[str]:
    if section.is_setting:
        yield from _settings(section.kinds[""], default_values(section, None), width)
        return
    yield from _filled(f"{section.name}: {section.description}", width)
    yield from _kinds(section, width)


def _kinds(section: Section, width: int) -> Iterator[str]:
    for kind, settings in section.kinds.items():
        choice = choice_of_kind(section, kind)
        yield from ("", f"settings of {section.name}{f'={choice}' if choice else ''}:")
        yield from _settings(settings, default_values(section, choice), width)


def _choice_page(group: str, choice: str, width: int) -> Iterator[str]:
    listed = {one.name: one for one in choices(group)}
    if choice not in listed:
        raise ConfigError([f"--help {group}={choice}: no such choice{hint(choice, list(listed))}"], "the command line")
    path, section = file_of(group, choice), sections().get(group)
    yield from _filled(f"{group}={choice}: {listed[choice].description}", width)
    if section is None or section.is_setting:
        yield from (f"{path}:", "", path.read_text(encoding="utf-8", errors="replace").rstrip())
        return
    kind = kind_of(section, choice)
    base, beside = choice_of_kind(section, kind), what_it_sets(section, choice)
    yield f"{path}"
    if beside:
        yield from ("", f"differs from {group}={base} in:", *(f"  {text}" for text in beside))
    yield from ("", f"settings of {group}={choice}:")
    yield from _settings(section.kinds[kind], default_values(section, choice), width)


def _setting_page(path: str, width: int) -> Iterator[str]:
    section = sections()[path.partition(".")[0]]
    seen = set()
    for kind, settings in section.kinds.items():
        shown = [setting for setting in settings if setting.path == path or setting.path.startswith(f"{path}.")]
        choice = choice_of_kind(section, kind)
        lines = list(_settings(shown, default_values(section, choice), width))
        if shown and (key := "\n".join(lines)) not in seen:
            seen.add(key)
            yield from ([f"with {section.name}={choice}:"] if kind else [])
            yield from lines
    by_choice = _by_choice(section, path)
    if len(set(by_choice.values())) > 1:
        yield from (
            "",
            "defaults by choice:",
            *(f"  {section.name}={name:<24} {text}" for name, text in by_choice.items()),
        )


def _by_choice(section: Section, path: str) -> Mapping[str, str]:
    """Return the default of a setting with each choice of its group that has it."""
    listed = choices(section.name) if section.name in groups() else []
    found = {choice.name: default_values(section, choice.name).get(path) for choice in listed}
    return {name: text for name, text in found.items() if text}


def _settings(settings: Iterable[Setting], values: Mapping[str, str], width: int) -> Iterator[str]:
    for setting in settings:
        accepted = " | ".join(setting.choices)
        if accepted and setting.type != "str":
            accepted = f"{setting.type}: {accepted}"
        default = values.get(setting.path)
        yield f"  {setting.path}   {accepted or setting.type}{f', default {default}' if default else ''}"
        yield from _filled(setting.description, width, "      ")


def _filled(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
