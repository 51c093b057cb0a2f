"""Check that compared runs have the same questions, prompts, reward and model, except for what is compared.

Two kinds of difference make a comparison invalid. A silent difference: the settings are the same, but a file, a data
set or a template has changed between the runs. A second difference: one condition has, for example, both another
algorithm and other data, so that the cause of the result is unknown. Within one sweep every difference in settings is
taken as intended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from igrpo.messages import count
from igrpo.report.conditions import RunGroup, compared_settings, other_seeds
from igrpo.report.labels import listed, shortlist
from igrpo.report.runs import LoadedRun
from igrpo.runs.fingerprints import PARTS, Part, Prints, differences

#: Settings that determine a part, by the beginnings of their names.
_DECIDING: dict[Part, tuple[str, ...]] = {
    "questions": ("data.",),
    "prompts": ("prompt.", "model."),
    "reward": ("reward.",),
    "model": ("model.", "data.operations"),
}

#: Pieces of a part that are compared when other settings differ: those that both conditions have with any algorithm.
_PIECES: Mapping[Part, Collection[str]] = {"questions": ("train", "development", "test"), "prompts": ("question",)}


#: Two conditions; the second is compared with the first.
Pair = tuple[RunGroup, RunGroup]


def check_origins(
    groups: Sequence[RunGroup], pairs: Sequence[Pair], allowed: Collection[Part]
) -> tuple[list[Pair], tuple[str, ...]]:
    """Reject runs that differ in a part other than the compared one.

    Args:
        allowed: parts that may differ; the difference becomes a note.

    Returns:
        The pairs that can be compared, and notes. A pair with a second difference is left out if both of its conditions
        also take part in other comparisons.

    Raises:
        ValueError: a part differs; the message names each such part, two runs that differ in it, and the option that
            allows the comparison.
    """
    runs = [run for group in groups for run in group.runs.values()]
    found = [
        (part, text)
        for part in PARTS
        for text in (*_changed_within_a_run(runs, part), *_silent_differences(runs, part))
    ]
    second = {number: list(_second_differences(*pair)) for number, pair in enumerate(pairs)}
    wrong = {number for number, texts in second.items() if any(part not in allowed for part, _ in texts)}
    compared = {group.name for number, pair in enumerate(pairs) if number not in wrong for group in pair}
    left_out = {number for number in wrong if {group.name for group in pairs[number]} <= compared}
    found += [one for number, texts in second.items() if number not in left_out for one in texts]
    found = list(dict.fromkeys(found))
    refused = [(part, text) for part, text in found if part not in allowed]
    if refused:
        flags = " ".join(f"--allow-different {part}" for part in dict.fromkeys(part for part, _ in refused))
        raise ValueError(
            "the runs differ in more than what is compared, and this would be part of the result: "
            f"{shortlist([f'{part}: {text}' for part, text in refused], '; ')}. Leave out or repeat the runs that are "
            f"not meant; to compare them nevertheless: {flags}"
        )
    return [pair for number, pair in enumerate(pairs) if number not in left_out], (
        *(f"Compared although they differ in {part}: {text}." for part, text in found),
        *(f"Not compared: {second[number][0][1]}." for number in sorted(left_out)),
        *_without_fingerprints(runs),
    )


def _changed_within_a_run(runs: Sequence[LoadedRun], part: Part) -> Iterator[str]:
    for run in runs:
        for change in () if run.fingerprints is None else run.fingerprints.changes:
            if change.part == part:
                yield f"{run.name} was resumed after step {change.step} with a change: {change.what}"


def _silent_differences(runs: Sequence[LoadedRun], part: Part) -> Iterator[str]:
    """Yield runs whose part differs although the settings that determine it are the same."""
    first: dict[frozenset[tuple[str, str]], tuple[LoadedRun, Prints]] = {}
    for run in runs:
        if run.fingerprints is None:
            continue
        prints = {name: piece for name, piece in run.fingerprints.of(part).items() if _is_compared(part, name)}
        settings = _deciding(compared_settings(run.config) | _texts(other_seeds(run.config)), part)
        other, before = first.setdefault(frozenset(settings.items()), (run, prints))
        changed = differences(part, before, prints)
        if changed:
            dates = {one.fingerprints.date for one in (other, run) if one.fingerprints is not None}
            when = f" (their dates: {listed(sorted(dates))})" if part == "prompts" and len(dates) > 1 else ""
            yield f"in {run.name}, against {other.name} of the same settings, {'; '.join(changed)}{when}"


def _is_compared(part: Part, piece: str) -> bool:
    return part != "questions" or piece in _PIECES[part]


def _second_differences(first: RunGroup, second: RunGroup) -> Iterator[tuple[Part, str]]:
    """Yield the parts whose settings differ in a pair that differs in other settings, too."""
    if _sweeps(first) & _sweeps(second):
        return
    one, other = compared_settings(first.config), compared_settings(second.config)
    differ = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    chosen = tuple(name.removesuffix("name") for name in differ if name.endswith(".name"))
    # A choice, such as reward.name, stands for the settings that it implies.
    names = sorted(name for name in differ if name.endswith(".name") or not name.startswith(chosen))
    for part in PARTS:
        own = [name for name in names if name.startswith(_DECIDING[part])]
        rest = [name for name in names if name not in own]
        if own and rest and (changed := _pair_differences(first, second, part)):
            yield (
                part,
                f"{second.name} differs from {first.name} in {shortlist(rest)}, and in {shortlist(own)} as well "
                f"({shortlist(changed, '; ')})",
            )


def _pair_differences(first: RunGroup, second: RunGroup, part: Part) -> list[str]:
    """Compare the first common seed for which both runs have fingerprints."""
    for seed in sorted(first.runs.keys() & second.runs.keys()):
        one, other = first.runs[seed].fingerprints, second.runs[seed].fingerprints
        if one is not None and other is not None:
            wanted = _PIECES.get(part)
            sides = [
                {name: piece for name, piece in prints.of(part).items() if wanted is None or name in wanted}
                for prints in (one, other)
            ]
            return differences(part, *sides)
    return []


def _without_fingerprints(runs: Sequence[LoadedRun]) -> Iterator[str]:
    without = [run.name for run in runs if run.fingerprints is None]
    if without and len(runs) > 1:
        yield (
            f"{len(without)} of {count(len(runs), 'run')} have no fingerprints, since an older igrpo made them "
            f"({shortlist(without)}): whether they had the same questions, prompts, reward and model is not known."
        )


def _sweeps(group: RunGroup) -> set[str]:
    return {run.sweep for run in group.runs.values() if run.sweep is not None}


def _deciding(settings: Mapping[str, str], part: Part) -> dict[str, str]:
    return {name: text for name, text in settings.items() if name.startswith(_DECIDING[part])}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
