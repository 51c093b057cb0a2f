"""Grouping of runs into conditions.

Runs belong to one condition if they differ only in their seed and in settings that do not affect the experiment.
A seed of another part (the warm start or the data) counts as a setting of the condition: either it is the same in all
runs, or it equals each run's own seed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from igrpo.report.model import RunEntry
from igrpo.report.runs import LoadedRun
from igrpo.runs.params import flatten_params

#: Seeds other than the run's own.
OTHER_SEEDS = ("model.warm_start.seed", "model.seed", "data.seed")

#: Value recorded for such a seed when it equals the run's seed.
FOLLOWS = "= seed"

#: Settings that do not change what a run trains: names, storage, monitoring, speed, and the amount of evaluation.
_NOT_COMPARED = re.compile(
    r"(schema_version|seed|run_name|condition|profile"
    r"|(tracking|checkpoint|alarms|profiling)\..*"
    r"|trainer\.(device|threads|tokens_per_microbatch|head_chunk|share_prefixes|lean_layers)"
    r"|rollout\.(max_batch_rows|pipeline|fast_decode|max_packed_mib|prefix_caching|data_parallel_size)"
    r"|evaluation\.(every|questions|samples|interval_width|greedy|draft_conditioned|oracle_drafts|reuse_first)"
    r"|reward\.(parts\.[^.]+\.reward\.)?(workers|cache_size))"
)

_LONGEST_VALUE = 24


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Runs of one condition, by seed in ascending order. ``settings``: see ``model.Condition``."""

    name: str
    settings: dict[str, str]
    runs: dict[int, LoadedRun]

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings of the first run."""
        return next(iter(self.runs.values())).config

    @property
    def label(self) -> str:
        """Label of the condition, which conditions with other settings may share; its name is unique."""
        return _label(self.config)


@dataclass(frozen=True, slots=True)
class Grouping:
    """Conditions in the order in which their first runs were found, and an entry for every run, used or not."""

    groups: tuple[RunGroup, ...]
    entries: tuple[RunEntry, ...]


#: Identity of a condition: its label and its compared settings.
_Key = tuple[str, frozenset[tuple[str, str]]]


def group_runs(runs: Sequence[LoadedRun], *, planned: bool = False) -> Grouping:
    """Group runs into conditions. If several runs have the same condition and seed, the newest is used.

    ``planned``: name conditions as if every run could be used, so that names stay the same while a sweep runs.
    """
    keys = _keys(runs)
    chosen: dict[_Key, dict[int, LoadedRun]] = {}
    for run, key in zip(runs, keys, strict=True):
        if run.problem is None:
            same = chosen.setdefault(key, {})
            seed = int(run.config["seed"])
            if seed not in same or run.ended > same[seed].ended:
                same[seed] = run
    known = [key for run, key in zip(runs, keys, strict=True) if run.config]
    names = _names(list(dict.fromkeys(known)) if planned else list(chosen))
    settings = _differing([dict(key[1]) for key in chosen])
    groups = tuple(
        RunGroup(names[key], of_group, dict(sorted(by_seed.items())))
        for (key, by_seed), of_group in zip(chosen.items(), settings, strict=True)
    )
    entries = []
    for run, key in zip(runs, keys, strict=True):
        reason = run.problem
        kept = chosen.get(key, {}).get(-1 if run.seed is None else run.seed)
        if reason is None and kept is not None and kept is not run:
            reason = f"{kept.name} is a newer run of the same condition and seed"
        entries.append(
            RunEntry(
                name=run.name,
                condition=names.get(key, key[0]),
                seed=run.seed,
                status=run.status,
                steps=run.steps,
                excluded=reason,
                folder=None if run.path is None else str(run.path),
            )
        )
    return Grouping(groups, tuple(entries))


def compared_settings(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that define the experiment, without seeds: flat names, values as text."""
    flat = flatten_params(config)
    return {name: text for name, text in flat.items() if name not in OTHER_SEEDS and not _NOT_COMPARED.fullmatch(name)}


def other_seeds(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the seeds other than the run's own, by the name of their setting."""
    flat = flatten_params(config)
    return {name: int(flat[name]) for name in OTHER_SEEDS if name in flat}


def _label(config: Mapping[str, Any]) -> str:
    return str(config.get("condition") or config["algorithm"]["name"])


def _keys(runs: Sequence[LoadedRun]) -> list[_Key]:
    """Return the condition of each run; ("unknown", no settings) if its settings cannot be read."""
    known = [run for run in runs if run.config]
    families: dict[_Key, list[LoadedRun]] = {}
    for run in known:
        key = (_label(run.config), frozenset(compared_settings(run.config).items()))
        families.setdefault(key, []).append(run)
    constants = {(name, seed) for run in known for name, seed in other_seeds(run.config).items() if seed != run.seed}
    keys: dict[int, _Key] = {}
    for (label, shared), family in families.items():
        for run in family:
            seeds = {(name, _how(name, run, family, constants)) for name in other_seeds(run.config)}
            keys[id(run)] = (label, shared | seeds)
    return [keys.get(id(run), ("unknown", frozenset())) for run in runs]


def _how(name: str, run: LoadedRun, family: Sequence[LoadedRun], constants: set[tuple[str, int]]) -> str:
    """Return ``FOLLOWS`` if a seed follows the run's seed, else the seed's own value as text.

    A single run may be ambiguous (both seeds are 0, for example). Then the runs with the same other settings decide,
    and after them all runs of the report.
    """
    value = other_seeds(run.config)[name]
    values = [(other_seeds(one.config)[name], one.seed) for one in family]
    if value != run.seed:
        return str(value)
    if len({seed for _, seed in values}) > 1 and all(value == seed for value, seed in values):
        return FOLLOWS
    return str(value) if (name, value) in constants else FOLLOWS


def _differing(settings: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Reduce each dictionary to the settings that are not the same in all of them."""
    names = dict.fromkeys(name for one in settings for name in one)
    differ = sorted(name for name in names if len({one.get(name) for one in settings}) > 1)
    return [{name: one[name] for name in differ if name in one} for one in settings]


def _names(keys: Sequence[_Key]) -> dict[_Key, str]:
    """Return a unique name per condition: its label, plus settings if several conditions share the label."""
    names: dict[_Key, str] = {}
    for label, count in Counter(label for label, _ in keys).items():
        alike = [key for key in keys if key[0] == label]
        if count == 1:
            names[alike[0]] = label
            continue
        settings = [dict(key[1]) for key in alike]
        telling = _telling(settings)
        for key, one in zip(alike, settings, strict=True):
            parts = [f"{_short(name, telling)}={_cut(one[name])}" for name in telling if name in one]
            names[key] = " ".join([label, *parts])
    taken = Counter(names.values())
    seen: Counter[str] = Counter()
    for key, name in names.items():
        seen[name] += 1
        names[key] = name if taken[name] == 1 else f"{name} ({seen[name]})"
    return names


def _telling(settings: Sequence[dict[str, str]]) -> list[str]:
    """Select few settings that distinguish all conditions, greedily; ties go to the setting of the outer section."""
    open_names = sorted({name for one in settings for name in one}, key=lambda name: (name.count("."), name))
    open_names.sort(key=lambda name: not name.endswith("name"))  # prefer objective=dapo to the settings that it implies
    chosen: list[str] = []

    def classes(names: list[str]) -> int:
        return len({tuple(one.get(name) for name in names) for one in settings})

    while classes(chosen) < len(settings):
        best = max(open_names, key=lambda name: classes([*chosen, name]))
        chosen.append(best)
    return chosen


def _short(name: str, others: Sequence[str]) -> str:
    """Shorten a setting's name to its last part; keep the whole name where the last part is ambiguous."""
    section, _, leaf = name.rpartition(".")
    if leaf == "name":
        return section
    ambiguous = leaf == "seed" or sum(other.rpartition(".")[2] == leaf for other in others) > 1
    return name if ambiguous else leaf


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
