"""Suggestions for a word on the command line that is the name of a choice: `quickstart` for `experiment=quickstart`."""

from __future__ import annotations

from igrpo.config.composing.folders import choices, defaults, groups
from igrpo.messages import nearest

#: Groups that come first in a suggestion.
_FIRST = ("experiment", "sweep", "condition", "algorithm")


def choices_named(word: str) -> list[str]:
    """Return ``GROUP=CHOICE`` for each choice of this name, else for the choices of the nearest name; empty if none.

    Choices in subfolders, such as ``quick/kl``, have their whole path as their name. For the name of a group, return
    its default or first choice.
    """
    if word in groups():
        return [f"{word}={defaults('train').get(word) or choices(word)[0].name}"]
    ordered = sorted(groups(), key=lambda group: _FIRST.index(group) if group in _FIRST else len(_FIRST))
    found = {group: [choice.name for choice in choices(group)] for group in ordered}
    name = nearest(word, sorted({name for names in found.values() for name in names}), 0.8)
    return [f"{group}={name}" for group, names in found.items() if name in names]


def choice_hint(word: str) -> str:
    """Return the end of an error message that suggests the choices of this name; empty if there is none."""
    found = [f"'{line}'" for line in choices_named(word)]
    return f"; did you mean {' or '.join(found[:3])}?" if found else ""
