"""A run under the label of a shipped condition is that condition; any other label is the user's own.

``condition`` is a group (``condition=NAME`` on the command line) and a setting, which the group's file, an experiment
or a sweep sets: the label under which runs are compared. Where it is the name of a file of ``conf/condition``, the file
says what it stands for. What the file leaves open is free (an objective, say, for most of them), but not so that the
run becomes another condition: ``condition=igrpo algorithm.train_on=[draft,refine]`` is ``condition=igrpo_both``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igrpo.config.composing.folders import choices, shipped

#: What ``condition`` is until something sets it: a name for the algorithm, whatever its settings.
_DEFAULT = "${algorithm.name}"

#: A key that no configuration has.
_SPARE = "_expected"

#: What to do about it.
_ADVICE = (
    "leave one of them out, or set a label of your own (`condition: LABEL` in a file of yours in experiments/ or "
    "sweeps/)"
)


@dataclass(frozen=True, slots=True)
class _Condition:
    """What a file of conf/condition sets: choices of groups, and dotted settings with their unresolved values."""

    groups: dict[str, str]
    settings: dict[str, Any]

    def is_more_than(self, other: _Condition) -> bool:
        """Whether it sets all that the other sets, to the same, and more within the groups that the other chooses."""
        return (
            self.groups == other.groups
            and self.settings.items() > other.settings.items()
            and all(key.partition(".")[0] in other.groups for key in self.settings.keys() - other.settings.keys())
        )


def label_problems(config: DictConfig) -> Iterator[str]:
    """Each setting that is not what the label says, naming it, its value, the condition's and what to do.

    ``config`` is composed, with its ``hydra`` node: without one nothing is known of the groups, nor checked.
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
    wrong = wrong or _differing(settings, own.settings)  # the settings of another choice are not those that are meant
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
    """The unresolved value of a setting in the file of its group's choice."""
    group, _, name = key.partition(".")
    content = yaml.safe_load((shipped("conf") / group / f"{groups[group]}.yaml").read_text(encoding="utf-8"))
    return dict(_flat(content, ""))[name]


def _differing(config: DictConfig, expected: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The settings that are not as expected, with both values. What cannot be resolved is told of elsewhere."""
    try:
        pairs = [(key, _plain(OmegaConf.select(config, key)), _resolved(config, expected[key])) for key in expected]
    except OmegaConfBaseException:
        return []
    return [pair for pair in pairs if pair[1] != pair[2]]


def _resolved(config: DictConfig, value: Any) -> Any:
    """A value with its interpolations as they are in ``config``, to which it is added for a moment."""
    config[_SPARE] = value
    try:
        return _plain(config[_SPARE])
    finally:
        del config[_SPARE]


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _typed(value: Any) -> str:
    """A value as one gives it on the command line."""
    if isinstance(value, list):
        return f"[{','.join(_typed(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
