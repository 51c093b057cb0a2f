"""Hydra set up for one primary configuration, and composition of overrides with translated errors.

Hydra's own entry point (``hydra.main``) prints errors itself, with a stack trace and a hint at an environment variable,
and suppresses exceptions raised in callbacks. The checks are therefore made on the Hydra object that runs the jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from igrpo.config import ConfigError, RunConfig
from igrpo.config.composing import resolvers, searchpath
from igrpo.config.composing.checking import checked
from igrpo.config.composing.diagnosis import COMPOSITION_ERRORS, diagnose
from igrpo.config.composing.folders import shipped
from igrpo.config.composing.grid import shared_by_all
from igrpo.config.composing.overrides import is_hydras


class Composition(AbstractContextManager["Composition"]):
    """Context manager that sets up Hydra for the primary configuration ``name``, and composes overrides."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Self:
        searchpath.install()
        resolvers.register()
        self._before = HydraConfig.instance().cfg, GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        self._scope = initialize_config_dir(str(shipped("conf")), job_name=self._name, version_base="1.3")
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, trace)
        HydraConfig.instance().cfg, hydra = self._before
        if hydra is not None:
            GlobalHydra.instance().initialize(hydra)

    @property
    def _hydra(self) -> Hydra:
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None, "used outside of its with block"
        return hydra

    @property
    def _loader(self) -> ConfigLoader:
        return self._hydra.config_loader

    @property
    def _parser(self) -> OverridesParser:
        return OverridesParser.create(config_loader=self._loader)

    def show_config(self, overrides: Sequence[str], what: str, package: str | None, *, resolve: bool) -> None:
        """Print the composed configuration as YAML, as Hydra's ``--cfg`` does.

        Args:
            overrides: settings of a run.
            what: ``job`` (the settings), ``hydra`` (Hydra's own) or ``all``.
            package: print only this section.
            resolve: replace interpolations by their values.

        Raises:
            ConfigError: the settings cannot be composed or resolved.
        """
        try:
            self._hydra.show_cfg(self._name, list(overrides), what, package, resolve)
        except COMPOSITION_ERRORS as error:
            raise self._diagnosed(error, overrides, RunMode.RUN) from None

    def show_info(self, overrides: Sequence[str], what: str, *, sweep: bool) -> None:
        """Print what Hydra's ``--info`` does. ``what``: ``all``, ``defaults``, ``searchpath`` or another of its names.

        Raises:
            ConfigError: the settings cannot be composed.
        """
        mode, root = RunMode.MULTIRUN if sweep else RunMode.RUN, logging.getLogger()
        handlers, level = list(root.handlers), root.level
        try:
            self._hydra.show_info(what, self._name, list(overrides), mode)  # it prints through a handler of the root
        except COMPOSITION_ERRORS as error:
            raise self._diagnosed(error, overrides, mode) from None
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)

    def _load(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        return self._loader.load_configuration(self._name, list(overrides), mode, from_shell=True)

    def _compose(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        """Compose the overrides.

        Raises:
            ConfigError: lists every problem found.
        """
        try:
            return self._load(overrides, mode)
        except COMPOSITION_ERRORS as error:
            raise self._diagnosed(error, overrides, mode) from None

    def _try_compose(self, overrides: Sequence[str], mode: RunMode) -> DictConfig | None:
        """Compose the overrides; None if they cannot be composed."""
        with suppress(*COMPOSITION_ERRORS):
            return self._load(overrides, mode)
        return None

    def _parse(self, lines: list[str]) -> list[Override]:
        try:
            return list(self._parser.parse_overrides(lines))
        except COMPOSITION_ERRORS as error:
            raise self._diagnosed(error, lines, RunMode.MULTIRUN) from None

    def _diagnosed(self, error: Exception, overrides: Sequence[str], mode: RunMode) -> ConfigError:
        compose = partial(self._load, mode=mode)
        return diagnose(error, overrides, compose, self._loader, sweep=mode is RunMode.MULTIRUN)

    def _checked_job(self, overrides: Sequence[str], number: int) -> tuple[RunConfig, DictConfig]:
        """Compose and validate a run with the values of ``${hydra:...}`` that job ``number`` would see."""
        composed = self._compose(overrides, RunMode.RUN)
        with read_write(composed.hydra), open_dict(composed.hydra):
            composed.hydra.job.num = number
            composed.hydra.job.id = str(number)
            composed.hydra.mode = composed.hydra.mode or RunMode.RUN
            composed.hydra.runtime.output_dir = str(Path.cwd())
        HydraConfig.instance().set_config(composed)
        return checked(composed), composed

    def _shared(self, overrides: Sequence[str]) -> list[str]:
        """Return overrides for composing what all runs of a grid share."""
        compose = partial(self._try_compose, mode=RunMode.MULTIRUN)
        try:
            return shared_by_all(overrides, self._parser.parse_overrides, compose, self._is_group)
        except COMPOSITION_ERRORS:
            return list(overrides)  # the error is diagnosed when they are composed

    def _is_group(self, item: Any) -> bool:
        return not is_hydras(item.key_or_group) and bool(self._loader.get_group_options(item.key_or_group))
