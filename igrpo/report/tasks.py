"""Tasks of a report's conditions: those of one task were trained and tested on the same data set.

Conditions are compared within a task. A method is what conditions of different tasks have in common: their label, and
the settings that tell apart conditions of the same label within a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from igrpo.report.conditions import RunGroup, compared_settings

#: Settings of the data that do not change what is tested.
_OF_TRAINING = "data.train"


@dataclass(frozen=True, slots=True)
class Task:
    """Data set with the conditions that were run on it."""

    name: str
    groups: tuple[RunGroup, ...]


def tasks_of(groups: Sequence[RunGroup]) -> tuple[Task, ...]:
    """Return the tasks in the order of their first conditions.

    A task is named by its data set, and by the settings of the data that differ if several tasks have that data set.
    """
    found: dict[tuple[tuple[str, str], ...], list[RunGroup]] = {}
    for group in groups:
        found.setdefault(tuple(sorted(_data_settings(group).items())), []).append(group)
    names = _names([dict(settings) for settings in found])
    return tuple(Task(name, tuple(own)) for name, own in zip(names, found.values(), strict=True))


def within_tasks(
    tasks: Sequence[Task], pairs: Sequence[tuple[RunGroup, RunGroup]]
) -> list[tuple[str, RunGroup, RunGroup]]:
    """Return the pairs of conditions of the same task, each with the name of its task."""
    task = {group.name: one.name for one in tasks for group in one.groups}
    return [(task[a.name], a, b) for a, b in pairs if task[a.name] == task[b.name]]


def methods_of(tasks: Sequence[Task]) -> dict[str, str]:
    """Return the method of each condition, by the condition's name."""
    telling: dict[str, set[str]] = {}
    for task in tasks:
        for one, other in combinations(task.groups, 2):
            if one.label == other.label:
                a, b = (compared_settings(group.config) for group in (one, other))
                telling.setdefault(one.label, set()).update(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))
    return {group.name: _method(group, telling.get(group.label, set())) for task in tasks for group in task.groups}


def _method(group: RunGroup, telling: set[str]) -> str:
    settings = compared_settings(group.config)
    parts = [f"{name}={settings[name]}" for name in sorted(telling) if name in settings]
    return " ".join([group.label, *parts])


def _data_settings(group: RunGroup) -> dict[str, str]:
    settings = compared_settings(group.config)
    return {
        name: text for name, text in settings.items() if name.startswith("data.") and not name.startswith(_OF_TRAINING)
    }


def _names(settings: Sequence[dict[str, str]]) -> list[str]:
    names = []
    for one in settings:
        alike = [other for other in settings if other.get("data.name") == one.get("data.name")]
        differ = sorted(name for name in one if any(other.get(name) != one[name] for other in alike))
        parts = [f"{name.removeprefix('data.')}={one[name]}" for name in differ]
        names.append(" ".join([one.get("data.name", "data"), *parts]))
    return [name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names)]
