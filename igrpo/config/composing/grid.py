"""Grid of a sweep: combinations of values, restricted to the settings that exist in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import prod
from typing import cast

from hydra.core.override_parser.types import IntervalSweep, Override, OverrideType, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from igrpo.config import ConfigError
from igrpo.config.composing.overrides import dotted_keys, in_shell, nested_function

#: Maximum number of combinations of swept groups that `shared_by_all` tries.
_MOST_CHOICES = 16

#: Settings that a search must not vary: it would select the winning condition and the luckiest seed.
_ONE_PER_SEARCH = ("condition", "seed")

#: A grid with more runs is rejected as a mistake.
_MOST_RUNS = 10_000

#: Overrides by key, in the order of the command line.
Job = dict[str, str]

#: Composes the choices of a job; returns None if they are incompatible.
ComposeChoices = Callable[[Sequence[str]], DictConfig | None]


def effective(parsed: Sequence[Override]) -> dict[str, Override]:
    """Return the last override of each key; later ones take precedence."""
    return {item.get_key_element(): item for item in parsed}


def swept_problems(
    items: Mapping[str, Override], *, is_search: bool, is_group: Callable[[Override], bool]
) -> list[str]:
    """Return the problems of swept settings.

    These are intervals in a grid, glob patterns for settings that are not groups, and several conditions or seeds in a
    search.
    """
    problems = []
    for key, item in items.items():
        given = in_shell(str(item.input_line))
        if (nested := nested_function(item)) is not None:
            problems.append(nested)
        elif is_search and key in _ONE_PER_SEARCH and item.is_sweep_override():
            problems.append(f"{given}: a search tunes one condition at one seed; give {key} one value")
        elif item.is_interval_sweep() and not is_search:
            interval = cast(IntervalSweep, item.value())
            ends = f"{key}={interval.start},{interval.end}"
            advice = "give its choices" if is_group(item) else f"give values, such as {ends}, or add sweep=search_lr"
            problems.append(f"{given}: interval(...) is for a search: a grid has no list of its values; {advice}")
        elif item.value_type is ValueType.GLOB_CHOICE_SWEEP:
            if not is_group(item):
                problems.append(f"{given}: glob(...) is for the choices of a group; give the values of {key}")
            elif is_search:
                problems.append(f"{given}: a search takes no glob(...); name the choices")
    return problems


def combinations(items: Mapping[str, Override]) -> list[Job]:
    """Return every combination of the values. The first key varies slowest.

    Raises:
        ConfigError: a key has no values, there are too many combinations, or a value is given twice.
    """
    values = {key: _values(key, item) for key, item in items.items()}
    empty = [key for key, texts in values.items() if not texts]
    if empty:
        raise ConfigError([f"the grid is empty: {', '.join(empty)} has no value"])
    if prod(map(len, values.values())) > _MOST_RUNS:
        swept = ", ".join(key for key, texts in values.items() if len(texts) > 1)
        raise ConfigError([f"the grid of {swept} has more than {_MOST_RUNS:,} runs; give fewer values"])
    for texts in values.values():
        twice = [text for i, text in enumerate(texts) if text in texts[:i]]
        if twice:
            raise ConfigError([f"the grid has a run twice ({twice[0]}); give each value once"])
    return [dict(zip(values, lines, strict=True)) for lines in product(*values.values())]


def _values(key: str, item: Override) -> list[str]:
    if item.is_delete():
        return [str(item.input_line)]
    if not item.is_sweep_override():
        return [f"{key}={item.get_value_element_as_str()}"]
    try:
        return [f"{key}={text}" for text in islice(item.sweep_string_iterator(), _MOST_RUNS + 1)]
    except (HydraException, ValueError) as error:  # a range whose step is 0
        raise ConfigError([f"{in_shell(str(item.input_line))}: {error}"]) from None


@dataclass(frozen=True, slots=True)
class Fitted:
    """Jobs of a grid with the settings that exist in each, without duplicates; ``note`` describes the changes."""

    jobs: tuple[Job, ...]
    note: str | None


def fit(jobs: Sequence[Job], items: Mapping[str, Override], groups: Sequence[str], compose: ComposeChoices) -> Fitted:
    """Remove from each job the settings that do not exist with its choices but do exist in another job.

    A setting that exists in no job is kept in all: composing rejects it and suggests the nearest name.

    Args:
        jobs: all combinations.
        items: the override of each key.
        groups: the keys that choose parts (algorithm, condition, judge_prompt@reward, ...).
        compose: composes a configuration from choices.
    """
    bases: dict[tuple[str, ...], _Base | None] = {}
    of_job: list[_Base | None] = []
    settings = [key for key in items if _may_lack(key, items[key], groups)]
    for job in jobs:
        chosen = tuple(job[key] for key in groups)
        if chosen not in bases:
            bases[chosen] = _base({key: job[key] for key in groups}, settings, compose)
        of_job.append(bases[chosen])
    somewhere = {key for key in settings for base in of_job if base is not None and key not in base.lacking}
    left_out: dict[str, dict[str, None]] = {}
    kept: list[Job] = []
    for job, base in zip(jobs, of_job, strict=True):
        without = frozenset[str]() if base is None else base.lacking & somewhere
        for key in settings:
            if base is not None and key in without:
                left_out.setdefault(key, {})[base.lacking_choice(key)] = None
        kept.append({key: line for key, line in job.items() if key not in without})
    merged = tuple(job for i, job in enumerate(kept) if job not in kept[:i])
    return Fitted(merged, _note(left_out, len(jobs), len(merged)) if left_out else None)


def shared_by_all(
    overrides: Sequence[str],
    parse: Callable[[list[str]], list[Override]],
    compose: ComposeChoices,
    is_group: Callable[[Override], bool],
) -> list[str]:
    """Return the overrides with each swept group set to one choice, without settings that do not exist there.

    Hydra leaves a swept group at its default, which may lack settings that are overridden too, as in
    ``reward=judge,judge_gated reward.model=NAME``.
    """
    given = effective(parse(list(overrides)))
    chosen = [str(item.input_line) for item in given.values() if item.is_hydra_override() or is_group(item)]
    master = compose(chosen)
    params: dict[str, str] = {} if master is None else dict(master.hydra.sweeper.get("params") or {})
    items = effective(parse([f"{key}={value}" for key, value in params.items()])) | given
    swept = {key: item for key, item in items.items() if is_group(item) and item.is_choice_sweep()}
    if not swept:
        return list(overrides)
    fixed = {key: str(item.input_line) for key, item in given.items() if key not in swept}
    choices = [[f"{key}={one}" for one in item.sweep_string_iterator()] for key, item in swept.items()]
    jobs = [{**fixed, **dict(zip(swept, one, strict=True))} for one in islice(product(*choices), _MOST_CHOICES)]
    groups = [*(key for key in fixed if is_group(given[key])), *swept]
    fitted = [list(job.values()) for job in fit(jobs, items, groups, compose).jobs]
    return next((job for job in fitted if compose(job) is not None), fitted[0] if fitted else list(overrides))


def _note(left_out: Mapping[str, Mapping[str, None]], combinations: int, runs: int) -> str:
    what = "; ".join(f"{key} where {' or '.join(chosen)}" for key, chosen in left_out.items())
    equal = f"; {combinations} combinations are {runs} runs, as equal ones are run once" if runs < combinations else ""
    return f"left out, since there is no such setting: {what}{equal}"


@dataclass(frozen=True, slots=True)
class _Base:
    """Composed choices of a job, and the settings that do not exist in them."""

    config: DictConfig
    lacking: frozenset[str]

    def lacking_choice(self, key: str) -> str:
        """Return the choice that lacks the setting, such as 'algorithm=grpo'."""
        section = key.rpartition("@")[2].partition(".")[0]
        return f"{section}={self.config.hydra.runtime.choices.get(section)}"


def _base(choices: Mapping[str, str], settings: Sequence[str], compose: ComposeChoices) -> _Base | None:
    """Compose the choices of a job; None if they are incompatible (composing the whole job reports that)."""
    config = compose(list(choices.values()))
    absent = []
    if config is None:  # the reason may be a nested group, such as judge_prompt@reward, that the choice does not have
        absent = [key for key in choices if "@" in key]
        config = compose([line for key, line in choices.items() if key not in absent])
    if config is None:
        return None
    known = set(dotted_keys(OmegaConf.to_container(config, resolve=False)))
    return _Base(config, frozenset([*absent, *(key for key in settings if "@" not in key and key not in known)]))


def _may_lack(key: str, item: Override, groups: Sequence[str]) -> bool:
    """Return True if the override changes an existing setting that some choice of a group may lack."""
    return ("@" in key or ("." in key and key not in groups)) and item.type is OverrideType.CHANGE
