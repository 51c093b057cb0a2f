"""Why a composition failed, in the words of the command line: every wrong override at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igrpo.config import ConfigError
from igrpo.hydra_support.checking import checked
from igrpo.hydra_support.folders import choices
from igrpo.hydra_support.suggest import hint, nearest, setting_hint

#: What composing may raise for a mistake of the user (KeyError: hydra.job.env_copy of an unset variable).
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, KeyError)

#: How the lines of their messages begin that tell a user nothing, or something wrong.
_NOISE = ("See https://", "To append to your", "full_key:", "reference_type", "object_type")

#: What provides the launchers and sweepers that Hydra itself does not have.
_EXTRAS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray", "optuna": "search"}

Compose = Callable[[list[str]], DictConfig]


def diagnose(
    error: Exception, overrides: Sequence[str], compose: Compose, loader: ConfigLoader, *, sweep: bool
) -> ConfigError:
    """The error to show for ``error``, which composing ``overrides`` raised.

    Wrong overrides are named one by one; what the others compose to is checked as well, so that one report has all.
    """
    parsed, problems = _parsed(overrides)
    choosing = [item for item in parsed if _is_group(item, loader)]
    setting = [item for item in parsed if item not in choosing]
    good = []
    for item in choosing:
        found = [*_sweep_problems(item, sweep=sweep), *_choice_problems(item, loader)]
        problems += found
        good += [] if found else [str(item.input_line)]
    try:
        base = compose(good)
    except COMPOSITION_ERRORS as base_error:
        return ConfigError([*problems, translate(base_error)])
    known = list(_keys(OmegaConf.to_container(base, resolve=False), ""))
    for item in setting:
        found = [*_sweep_problems(item, sweep=sweep), *_key_problems(item, base, known, loader)]
        problems += found
        good += [] if found else [str(item.input_line)]
    try:
        composed = compose(good)
        if not sweep:
            checked(composed)
    except ConfigError as schema_error:
        problems += schema_error.problems
    except COMPOSITION_ERRORS as other_error:
        problems.append(translate(other_error))
    return ConfigError(problems or [translate(error)])


def translate(error: Exception) -> str:
    """One line for an error of Hydra, OmegaConf or YAML: what is wrong, without their hints for programmers."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if (extra := _extra(group, name)) is not None:
            return extra
        return f"{group or 'the configuration'} has no '{name}'{hint(name, sorted(error.options or []))}"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}: " if mark is not None else ""
        return f"{where}no valid YAML: {error.problem}"
    if isinstance(error, KeyError):
        return f"the environment variable {error.args[0]} is not set (hydra.job.env_copy asks for it)"
    cause = error.__cause__
    text = str(error) or (str(cause) if isinstance(cause, OmegaConfBaseException) else type(error).__name__)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join([line for line in lines if not line.startswith(_NOISE)] or lines)


def _parsed(overrides: Sequence[str]) -> tuple[list[Override], list[str]]:
    parser = OverridesParser.create()
    parsed: list[Override] = []
    problems: list[str] = []
    for text in overrides:
        if text.startswith("="):
            problems.append(f"{text!r} is no setting: write KEY=VALUE, without blanks")
            continue
        try:
            parsed += parser.parse_overrides([text])
        except HydraException as error:
            problems.append(syntax_problem(text, error))
    return parsed, problems


def syntax_problem(text: str, error: HydraException) -> str:
    """Why an override that Hydra's grammar refuses is none, and how to write it."""
    if "=" not in text:
        return f"{text!r} is no setting: write KEY=VALUE, without blanks"
    key, _, value = text.partition("=")
    reason = translate(error).removeprefix(f"Error parsing override '{text}' ")
    return (
        f"{text!r} cannot be read ({reason}); put a value with brackets, commas or other signs in two pairs of quotes: "
        f"{key}=\"'{value}'\""
    )


def _is_group(item: Override, loader: ConfigLoader) -> bool:
    return bool(loader.get_group_options(item.key_or_group)) or "/" in item.key_or_group or item.package is not None


def _sweep_problems(item: Override, *, sweep: bool) -> Iterator[str]:
    if item.is_sweep_override() and not sweep:
        yield (
            f"{item.input_line}: several values make a sweep: add --multirun, or write a list as "
            f"{item.key_or_group}=[A,B]"
        )


def _choice_problems(item: Override, loader: ConfigLoader) -> Iterator[str]:
    group = item.key_or_group
    options = loader.get_group_options(group)
    if not options:
        yield f"{group}: no such group{hint(group, _groups(loader))}"
        return
    if item.is_delete() or item.package is not None:
        return
    all_options = list(dict.fromkeys([*options, *(choice.name for choice in choices(group))]))  # and those in folders
    names = list(item.sweep_iterator()) if item.is_sweep_override() else item.value()
    for name in names if isinstance(names, list) else [names]:
        if isinstance(name, str) and name in all_options:
            continue
        if (extra := _extra(group, str(name))) is not None:
            yield extra
            continue
        folder, _, leaf = str(name).rpartition("/")
        beside = {one.rpartition("/")[2]: one for one in all_options if one.rpartition("/")[0] == folder}
        near = beside.get(nearest(leaf, beside) or "") or nearest(str(name), all_options, 0.8)
        end = f"; did you mean '{group}={near}'?" if near else ""
        yield f"{group}={'null' if name is None else name}: not one of {', '.join(beside.values() or options)}{end}"


def _extra(group: str, name: str) -> str | None:
    """What to install for a launcher or a sweeper that is known and not there."""
    top = "/".join(group.split("/")[:2])
    if top not in {"hydra/launcher", "hydra/sweeper"}:
        return None
    extra = "search" if group == "hydra/sweeper/sampler" else _EXTRAS.get(name)
    return None if extra is None else f"{group}={name}: not installed; pip install 'igrpo[{extra}]' brings it"


def _key_problems(item: Override, base: DictConfig, known: Sequence[str], loader: ConfigLoader) -> Iterator[str]:
    if item.is_add() or item.is_delete() or item.is_force_add():
        return  # the schema has the last word on these
    value = None if item.is_sweep_override() else item.value()
    nested = _keys(value, item.key_or_group) if isinstance(value, Mapping) else []
    for key in [item.key_or_group, *nested]:
        if key in known:
            continue
        if _takes_new_names(base, key.rpartition(".")[0]):
            yield f"{key}: a new name is added with a plus: +{item.input_line}"
            return
        names = [name for name in known if name.startswith("hydra.") == key.startswith("hydra.")]
        groups = [] if "." in key else _groups(loader)
        section = key.rpartition(".")[0]
        choice = base.hydra.runtime.choices.get(section)
        yield (
            f"{key}: no such setting{f' with {section}={choice}' if choice else ''}"
            f"{setting_hint(key, [*names, *(group for group in groups if group not in names)])}"
        )
        return


def _takes_new_names(base: DictConfig, section: str) -> bool:
    """Whether the section is one without fixed names, such as reward.arguments or hydra.job.env_set."""
    return bool(section) and OmegaConf.select(base, section, throw_on_missing=False) == {}


def _groups(loader: ConfigLoader) -> list[str]:
    return [group for group in loader.list_groups("") if group != "hydra"]


def _keys(values: Any, prefix: str) -> Iterator[str]:
    """All dotted keys of nested mappings, sections included."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            key = f"{prefix}.{name}" if prefix else str(name)
            yield key
            yield from _keys(value, key)
