"""Changes to settings that are given as values, such as those of a finished run, by overrides as of a new run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from igrpo.config import ConfigError, RunConfig
from igrpo.config.composing.checking import checked
from igrpo.config.composing.composition import Composition
from igrpo.config.composing.diagnosis import COMPOSITION_ERRORS, translate
from igrpo.config.composing.overrides import dotted_keys, in_shell
from igrpo.messages import setting_hint


class SettingsChanger(Composition):
    """Applies overrides to values. A context manager, since Hydra is set up globally."""

    def changed(
        self, values: Mapping[str, Any], overrides: Sequence[str], allowed: Sequence[str], reason: str
    ) -> RunConfig:
        """Return the settings with the changes.

        A choice of a group (``prompt=boxed``) replaces the whole section by the one of that file, whose interpolations
        refer to the values.

        Args:
            values: all settings as plain values.
            overrides: changes in Hydra's grammar.
            allowed: sections and settings that may change.
            reason: why others may not, which ends the message about them.

        Raises:
            ConfigError: lists the problems found.
        """
        items = self._parse(list(overrides))
        problems = [problem for item in items for problem in _refused(item, allowed, reason)]
        if problems:
            raise ConfigError(problems)
        choosing = [item for item in items if self._is_group(item)]
        changed = OmegaConf.create(dict(values))
        paths = [item.package or item.key_or_group for item in choosing]
        inner = [item for item in items if item in choosing or _is_within(item.key_or_group, paths)]
        if choosing:
            composed = self._compose([str(item.input_line) for item in inner], RunMode.RUN)
            for path in paths:
                node = OmegaConf.select(composed, path)
                plain = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
                OmegaConf.update(changed, path, plain, merge=False, force_add=True)
        others = [item for item in items if item not in inner]
        problems = [problem for item in others for problem in _unknown(item, changed)]
        if problems:
            raise ConfigError(problems)
        OmegaConf.set_struct(changed, value=True)
        try:
            ConfigLoaderImpl._apply_overrides_to_config(others, changed)
        except COMPOSITION_ERRORS as error:
            raise ConfigError([translate(error)]) from None
        return checked(changed)


def _refused(item: Override, allowed: Sequence[str], reason: str) -> Iterator[str]:
    key = item.package or item.key_or_group
    if not _is_within(key, allowed):
        yield f"{in_shell(str(item.input_line))}: {reason} (only {', '.join(allowed)} can be given)"
    elif item.is_sweep_override():
        yield f"{in_shell(str(item.input_line))}: several values; give one"


def _is_within(key: str, paths: Sequence[str]) -> bool:
    return any(key == path or key.startswith(f"{path}.") for path in paths)


def _unknown(item: Override, values: DictConfig) -> Iterator[str]:
    if item.is_add() or item.is_force_add() or item.is_delete():
        return
    key, known = item.key_or_group, list(dotted_keys(OmegaConf.to_container(values)))
    if key not in known:
        section = key.rpartition(".")[0]
        new = OmegaConf.select(values, section, throw_on_missing=False) == {} if section else False
        yield (
            f"{key}: a new name is added with a plus: {in_shell(f'+{item.input_line}')}"
            if new
            else f"{key}: no such setting{setting_hint(key, known)}"
        )
