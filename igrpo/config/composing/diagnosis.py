"""Error messages for a failed composition, in terms of the command line. All wrong overrides are reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igrpo.config import ConfigError
from igrpo.config.composing.checking import checked
from igrpo.config.composing.folders import PLACES, choices
from igrpo.config.composing.overrides import (
    SWEEP_FUNCTIONS,
    dotted_keys,
    in_shell,
    is_readable,
    nested_function,
    parse,
    quoted,
    setting,
)
from igrpo.config.composing.words import choice_hint
from igrpo.messages import hint, install, nearest, setting_hint

#: Exceptions that a user's mistake can cause in composition (KeyError: hydra.job.env_copy of an unset variable).
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, KeyError)

#: Beginnings of message lines that are useless or misleading for users.
_NOISE = ("See https://", "To append to your", "full_key:", "reference_type", "object_type")

_NOT_SELECTED = re.compile(r"Could not override '([^']+)'\.\s+No match in the defaults list")

#: Extras of igrpo that provide the launchers and sweepers that Hydra itself does not have.
_EXTRAS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray", "search": "search"}

Compose = Callable[[list[str]], DictConfig]


def diagnose(
    error: Exception, overrides: Sequence[str], compose: Compose, loader: ConfigLoader, *, sweep: bool
) -> ConfigError:
    """Return the error to report for ``error``, which composing ``overrides`` raised.

    Every wrong override is named. The composition of the others is validated as well, so that one report has all
    problems.
    """
    parsed, broken = _parsed(overrides)
    choosing = [item for item in parsed if _is_group(item, loader)]
    changing = [item for item in parsed if item not in choosing]
    problems: list[str] = []
    good: list[str] = []
    for item in choosing:
        found = [*_several_values(item, lambda _: False, sweep=sweep), *_choice_problems(item, loader)]
        problems += found
        good += [] if found else [str(item.input_line)]
    try:
        base = compose(good)
    except COMPOSITION_ERRORS as base_error:
        return ConfigError([*(syntax_problem(*one) for one in broken), *problems, translate(base_error)])
    choices = list(good)

    def accepts(line: str) -> bool:
        return _is_accepted(line, choices, compose)

    problems = [*(syntax_problem(*one, accepts) for one in broken), *problems]
    known = list(dotted_keys(OmegaConf.to_container(base, resolve=False)))
    for item in changing:
        found = [*_several_values(item, accepts, sweep=sweep), *_key_problems(item, base, known, loader)]
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
    """Convert an error of Hydra, OmegaConf or YAML to one line, without hints for programmers."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if (extra := _extra(group, name)) is not None:
            return extra
        return f"{group or 'the configuration'} has no '{name}'{hint(name, sorted(error.options or []))}"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}: " if mark is not None else ""
        return f"{where}not valid YAML: {error.problem}"
    if isinstance(error, KeyError):
        return f"the environment variable {error.args[0]} is not set (hydra.job.env_copy asks for it)"
    cause = error.__cause__
    text = str(error) or (str(cause) if isinstance(cause, OmegaConfBaseException) else type(error).__name__)
    if (unknown := _NOT_SELECTED.match(text)) is not None:
        return f"{unknown[1]}: nothing is selected there yet; a new choice is added with a plus: '+{unknown[1]}=...'"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join([line for line in lines if not line.startswith(_NOISE)] or lines)


def _parsed(overrides: Sequence[str]) -> tuple[list[Override], list[tuple[str, HydraException]]]:
    """Return the overrides that Hydra's grammar accepts, and the others, each with its error."""
    parser = OverridesParser.create()
    parsed: list[Override] = []
    broken: list[tuple[str, HydraException]] = []
    for text in overrides:
        if text.startswith("="):  # Hydra's parser accepts it
            broken.append((text, HydraException("no key")))
            continue
        try:
            parsed += parser.parse_overrides([text])
        except HydraException as error:
            broken.append((text, error))
    return parsed, broken


def syntax_problem(text: str, error: HydraException, accepts: Callable[[str], bool] = is_readable) -> str:
    """Explain why Hydra's grammar rejects an override, and suggest a form that ``accepts`` approves."""
    key, given, value = (part.strip() for part in text.partition("="))
    if not given or not key:
        suggested = "" if given else choice_hint(text)
        return f"{text!r} is not a setting{suggested or ': write KEY=VALUE, without spaces'}"
    reason = translate(error).removeprefix(f"Error parsing override '{text}' ")
    inner = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    function = SWEEP_FUNCTIONS.get(value.partition("(")[0])
    forms = {
        "write it without spaces": f"{key}={value}",
        "a sweep function is written as in": f"{key}={function}" if function else text,
        "close its bracket": f"{key}={value}]",
        "put a text with brackets, commas, quotes or other signs in quotes": f"{key}={quoted(inner)}",
    }
    advice = next((f"{how}: {in_shell(line)}" for how, line in forms.items() if line != text and accepts(line)), None)
    return f"{text!r} cannot be read ({reason}); {advice or f'{key} takes no such value'}"


def _is_accepted(line: str, choices: Sequence[str], compose: Compose) -> bool:
    """Return True if the override can be parsed and the schema accepts its value (or each of its values)."""
    item = parse(line)
    if item is None:
        return False
    about = (f"{item.key_or_group}=", f"{item.key_or_group}:")
    try:
        values = item.sweep_string_iterator() if item.is_sweep_override() else None
        for one in [line] if values is None else [f"{item.get_key_element()}={value}" for value in values]:
            checked(compose([*choices, one]))
    except ConfigError as error:
        return not any(problem.startswith(about) for problem in error.problems)
    except COMPOSITION_ERRORS:
        return False
    return True


def _is_group(item: Override, loader: ConfigLoader) -> bool:
    return bool(loader.get_group_options(item.key_or_group)) or "/" in item.key_or_group or item.package is not None


def _several_values(item: Override, accepts: Callable[[str], bool], *, sweep: bool) -> Iterator[str]:
    """Yield a message if several values are given without a sweep; a list or a text may be meant."""
    if (nested := nested_function(item)) is not None:
        yield nested
        return
    if sweep or not item.is_sweep_override():
        return
    key, value = item.get_key_element(), item.get_value_string()
    if item.is_interval_sweep():
        yield f"{in_shell(str(item.input_line))}: interval(...) is for a search: add sweep=search_lr"
        return
    forms = {"a list": f"{key}=[{value}]", "a text": f"{key}={quoted(value)}"}
    simple = item.value_type is ValueType.SIMPLE_CHOICE_SWEEP
    others = [f", or write {what} as {in_shell(line)}" for what, line in forms.items() if simple and accepts(line)]
    yield f"{in_shell(str(item.input_line))}: several values make a sweep: add --multirun{''.join(others)}"


def _choice_problems(item: Override, loader: ConfigLoader) -> Iterator[str]:
    group = item.key_or_group
    options = loader.get_group_options(group)
    if not options:
        yield f"{group}: no such group{hint(group, _groups(loader))}"
        return
    if item.is_delete() or item.package is not None:
        return
    if group in PLACES:
        yield f"{group}: a choice of this group needs a place: {PLACES[group]}={item.get_value_string()}"
        return
    all_options = list(
        dict.fromkeys([*options, *(choice.name for choice in choices(group))])
    )  # includes choices in subfolders
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
        end = f"; did you mean {_in_quotes(setting(group, near))}?" if near else ""
        yield f"{group}={'null' if name is None else name}: not one of {', '.join(beside.values() or options)}{end}"


def _in_quotes(line: str) -> str:
    return in_shell(line) if "'" in line else f"'{line}'"


def _extra(group: str, name: str) -> str | None:
    """Return what to install for a known launcher that is not installed; None for anything else."""
    return not_installed(group, name) if group == "hydra/launcher" and name in _EXTRAS else None


def not_installed(group: str, name: str) -> str:
    """Return the message for a launcher or sweeper whose package is not installed."""
    return f"{group}={name}: not installed: {install(_EXTRAS[name])}"


def _key_problems(item: Override, base: DictConfig, known: Sequence[str], loader: ConfigLoader) -> Iterator[str]:
    if item.is_add() or item.is_delete() or item.is_force_add():
        return  # the schema validates these
    value = None if item.is_sweep_override() else item.value()
    nested = dotted_keys(value, item.key_or_group) if isinstance(value, Mapping) else []
    for key in [item.key_or_group, *nested]:
        if key in known:
            continue
        if _takes_new_names(base, key.rpartition(".")[0]):
            yield f"{key}: a new name is added with a plus: {in_shell(f'+{item.input_line}')}"
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
    """Return True if the section has no fixed names, such as reward.arguments or hydra.job.env_set."""
    return bool(section) and OmegaConf.select(base, section, throw_on_missing=False) == {}


def _groups(loader: ConfigLoader) -> list[str]:
    return [group for group in loader.list_groups("") if group != "hydra"]
