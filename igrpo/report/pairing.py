"""Selection of the baseline and of the pairs of conditions to compare."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from igrpo.algorithms.registry import BASELINE
from igrpo.report.conditions import RunGroup, compared_settings
from igrpo.report.labels import listed
from igrpo.report.tasks import Task


def choose_baseline(groups: Sequence[RunGroup], wanted: str | None) -> RunGroup:
    """Return the condition named ``wanted``, else GRPO on the whole budget, else the first condition.

    Raises:
        ValueError: there is no such condition.
    """
    by_name = {group.name: group for group in groups}
    if wanted is not None:
        if wanted not in by_name:
            raise ValueError(f"baseline {wanted!r}: there is no such condition; there are {listed(list(by_name))}")
        return by_name[wanted]
    plain = [group for group in groups if _is_plain(group)]
    return max(plain, key=_plainness) if plain else groups[0]


def substitute_note(groups: Sequence[RunGroup], base: RunGroup) -> str | None:
    """Return a note if the baseline of `choose_baseline` is not GRPO with its own objective; else None."""
    if len(groups) < 2 or (_is_plain(base) and _plainness(base)[0]):
        return None
    return (
        f"No run is GRPO with its own objective on the whole budget: {base.name} is the baseline instead "
        "(--baseline NAME: another)."
    )


def _is_plain(group: RunGroup) -> bool:
    """True for GRPO that spends the whole budget on one group and trains on every completion."""
    config = group.config
    imitates = config["objective"].get("advantage", {}).get("select", "all") != "all"
    algorithm = config["algorithm"]
    whole = algorithm.get("answers") == config["completions_per_question"]
    return algorithm["name"] == BASELINE and whole and not imitates


def _plainness(group: RunGroup) -> tuple[bool, int]:
    """Sort key: GRPO's own objective before others, then the larger budget; on ties ``max`` takes the first."""
    config = group.config
    return config["objective"].get("name") == config["algorithm"]["name"], int(config["completions_per_question"])


def pairs_within_tasks(tasks: Sequence[Task], base: RunGroup) -> list[tuple[RunGroup, RunGroup]]:
    """Return (baseline, condition) pairs of the same task; each task has its own baseline, ``base`` in its own.

    If every task has one condition only, what is compared are the tasks, and each is compared with ``base``.
    """
    if not _several_per_task(tasks):
        return pairs_with_baselines([group for task in tasks for group in task.groups], base)
    found = []
    for task in tasks:
        own = base if any(one is base for one in task.groups) else choose_baseline(task.groups, None)
        found += pairs_with_baselines(task.groups, own)
    return found


def every_pair(tasks: Sequence[Task]) -> list[tuple[RunGroup, RunGroup]]:
    """Return every pair of conditions of the same task; of all tasks if every task has one condition only."""
    return [pair for family in families(tasks) for pair in combinations(family, 2)]


def families(tasks: Sequence[Task]) -> list[tuple[RunGroup, ...]]:
    """Return the conditions that can be compared with each other: those of a task, or all if a task has one each."""
    if _several_per_task(tasks):
        return [task.groups for task in tasks]
    return [tuple(group for task in tasks for group in task.groups)]


def _several_per_task(tasks: Sequence[Task]) -> bool:
    return any(len(task.groups) > 1 for task in tasks)


def pairs_with_baselines(groups: Sequence[RunGroup], base: RunGroup) -> list[tuple[RunGroup, RunGroup]]:
    """Return (baseline, condition) pairs: conditions with their own baseline, then the rest with the report's."""
    own = [(plain, group) for group in groups if (plain := _own_baseline(group, groups, base)) is not None]
    rest = [(base, group) for group in groups if group is not base and (base, group) not in own]
    return [*own, *rest]


def _own_baseline(group: RunGroup, groups: Sequence[RunGroup], base: RunGroup) -> RunGroup | None:
    if group is base or _is_plain(group):
        return None
    alike = [one for one in groups if _is_plain(one) and _but_for_algorithm(one) == _but_for_algorithm(group)]
    return base if base in alike else next(iter(alike), None)


def _but_for_algorithm(group: RunGroup) -> dict[str, str]:
    settings = compared_settings(group.config)
    return {name: text for name, text in settings.items() if not name.startswith("algorithm.")}
