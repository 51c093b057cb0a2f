"""Composition of the settings of runs, as `igrpo train` does it."""

from __future__ import annotations

from collections.abc import Sequence

from igrpo.api.settings import check_list
from igrpo.config import ConfigError, RunConfig


def compose(experiment: str | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """Compose and check the settings of a run. Nothing is written and nothing heavy is imported.

    Args:
        experiment: name of a file in experiments/ (in the working directory, or shipped); None: the defaults.
        overrides: settings as on the command line: ``["algorithm=grpo", "trainer.steps=40"]``.

    Returns:
        The settings, immutable. To change them, compose again.

    Raises:
        ConfigError: lists every problem found, or the settings are those of several runs (see `grid`).
    """
    from hydra.core.hydra_config import HydraConfig

    from igrpo.config.composing.composer import Composer

    lines = _lines(experiment, overrides)
    with Composer("train") as composer:
        config = composer.check_run(lines).config
        if HydraConfig.get().sweeper.get("params"):
            raise ConfigError([f"{' '.join(lines)}: these are the settings of several runs; use igrpo.grid"])
    return config


def grid(experiment: str | None = None, overrides: Sequence[str] = ()) -> list[RunConfig]:
    """Compose and check the settings of every run of a grid, as of `igrpo train --multirun`.

    Args:
        experiment: as in `compose`; it may define a grid.
        overrides: as in `compose`, some with several values: ``["algorithm=grpo,igrpo", "seed=0,1"]``; or
            ``["sweep=NAME"]``.

    Returns:
        The settings of each run, in the order of the grid. The last setting varies fastest.

    Raises:
        ConfigError: lists every problem found and the runs in which it occurs; or no setting has several values; or
            the values are searched for, which only `igrpo train` does.
    """
    from igrpo.config.composing.composer import Composer

    with Composer("train") as composer:
        sweep = composer.check_sweep(_lines(experiment, overrides))
    if sweep.is_search:
        raise ConfigError([f"sweep={sweep.name}: a search picks its values while it runs; start it with `igrpo train`"])
    return sweep.configs


def _lines(experiment: str | None, overrides: Sequence[str]) -> list[str]:
    check_list(overrides)
    return [*([] if experiment is None else [f"experiment={experiment}"]), *overrides]
