"""Check that a run labelled with a shipped condition has the settings of that condition.

``condition`` is both a group (``condition=NAME`` on the command line) and a setting: the label under which runs are
compared. The group's file, an experiment or a sweep sets it. If the label is the name of a file in ``conf/condition``,
the run must have the settings of that file; other labels are the user's own and are not checked. Settings that the file
does not set (the objective, for most conditions) can be chosen freely, unless they turn the run into another condition:
``condition=igrpo algorithm.train_on=[draft,refine]`` is ``condition=igrpo_both``. Nor can a setting take back what the
condition's choice of a group changes: ``condition=dapo dynamic_sampling.max_attempts=0``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igrpo.config.composing.folders import choices, defaults, shipped

#: Default of ``condition``: the name of the algorithm, whatever its settings.
_DEFAULT = "${algorithm.name}"

#: Temporary key that no configuration has.
_SPARE = "_expected"

#: Advice at the end of the error messages.
_ADVICE = (
    "leave one of them out, or set a label of your own (`condition: LABEL` in a file of yours in experiments/ or "
    "sweeps/)"
)


@dataclass(frozen=True, slots=True)
class _Condition:
    """Content of a file of conf/condition: choices of groups, and dotted settings with unresolved values."""

    groups: dict[str, str]
    settings: dict[str, Any]

    def is_more_than(self, other: _Condition) -> bool:
        """Return True if this condition sets all that ``other`` sets, and more within the groups of ``other``."""
        return (
            self.groups == other.groups
            and self.settings.items() > other.settings.items()
            and all(key.partition(".")[0] in other.groups for key in self.settings.keys() - other.settings.keys())
        )


def label_problems(config: DictConfig) -> Iterator[str]:
    """Yield a message for each setting that contradicts the label: its value, the condition's, and what to change.

    ``config`` is a composed configuration. Without its ``hydra`` node the choices of groups are unknown, and nothing is
    checked.
    """
    values: Any = OmegaConf.to_container(config, resolve=False)
    conditions = _conditions()
    label = values.get("condition")
    if "hydra" not in values or label == _DEFAULT or label not in conditions:
        return
    own = conditions[label]
    chosen = values.pop("hydra")["runtime"]["choices"]
    settings = OmegaConf.create(values)
    wrong = [(key, chosen.get(key), choice) for key, choice in own.groups.items() if chosen.get(key) != choice]
    wrong = wrong or _differing(settings, own.settings)  # compare settings only if all groups match
    wrong = wrong or _taken_back(settings, own)
    for key, value, meant in wrong:
        stands_for = f"it stands for {key}={_typed(meant)}"
        yield f"condition={label} cannot go with {key}={_typed(value)}: {stands_for}; {_ADVICE}"
    if wrong:
        return
    for name, other in conditions.items():
        if other.is_more_than(own) and not _differing(settings, other.settings):
            added = other.settings.keys() - own.settings.keys()
            for key, value, _ in _differing(settings, {key: _group_value(own.groups, key) for key in added}):
                yield f"condition={label} cannot go with {key}={_typed(value)}: that is condition={name}; {_ADVICE}"


@cache
def _conditions() -> dict[str, _Condition]:
    return {choice.name: _read(choice.name) for choice in choices("condition")}


def _read(name: str) -> _Condition:
    content = yaml.safe_load((shipped("conf") / "condition" / f"{name}.yaml").read_text(encoding="utf-8"))
    groups = {
        key.removeprefix("override /"): choice for item in content.pop("defaults") for key, choice in item.items()
    }
    del content["condition"]
    return _Condition(groups, dict(_flat(content, "")))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _group_value(groups: Mapping[str, str], key: str) -> Any:
    """Return the unresolved value of a setting in the file of its group's choice."""
    group = key.partition(".")[0]
    return _group_settings(group, groups[group])[key]


def _group_settings(group: str, choice: str) -> dict[str, Any]:
    """Return the dotted settings of a group's file, with unresolved values, but for its name."""
    content = yaml.safe_load((shipped("conf") / group / f"{choice}.yaml").read_text(encoding="utf-8"))
    return {
        key: value for key, value in _flat(content, f"{group}.") if key not in {f"{group}.name", f"{group}.defaults"}
    }


def _taken_back(config: DictConfig, condition: _Condition) -> list[tuple[str, Any, Any]]:
    """Return the settings that the condition's choices of groups change, and that have their default value again.

    Groups whose choices have other settings than the default choice (such as another algorithm) are not compared.
    """
    found: list[tuple[str, Any, Any]] = []
    for group, default in defaults("train").items():
        if condition.groups.get(group, default) == default:
            continue
        own, plain = _group_settings(group, condition.groups[group]), _group_settings(group, default)
        if own.keys() <= plain.keys():
            changed = {key: value for key, value in own.items() if value != plain[key]}
            found += [one for one in _differing(config, changed) if one[1] == _resolved(config, plain[one[0]])]
    return found


def _differing(config: DictConfig, expected: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the settings that differ from ``expected``, with both values.

    Empty if a value cannot be resolved, which is reported elsewhere.
    """
    try:
        pairs = [(key, _plain(OmegaConf.select(config, key)), _resolved(config, expected[key])) for key in expected]
    except OmegaConfBaseException:
        return []
    return [pair for pair in pairs if pair[1] != pair[2]]


def _resolved(config: DictConfig, value: Any) -> Any:
    """Resolve a value's interpolations by adding it to ``config`` temporarily."""
    config[_SPARE] = value
    try:
        return _plain(config[_SPARE])
    finally:
        del config[_SPARE]


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _typed(value: Any) -> str:
    """Format a value as on the command line."""
    if isinstance(value, list):
        return f"[{','.join(_typed(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
