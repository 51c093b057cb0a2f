"""`igrpo train resume=RUN_DIR`: go on with the settings that the run directory keeps, without Hydra's composition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from igrpo.commands.run_dir import CONFIG_FILE
from igrpo.config import ConfigError, RunConfig, config_values, parse_config, read_config
from igrpo.hydra_support.diagnosis import syntax_problem
from igrpo.hydra_support.suggest import setting_hint
from igrpo.tracking.run_lock import RunDirectoryLockedError, run_lock

#: What may differ from the first part of a run; anything else would make it another run.
CHANGEABLE = (
    "trainer.steps",
    "trainer.device",
    "tracking.uri",
    "tracking.experiment",
    "tracking.example_questions",
    "tracking.rollout_files_kept",
    "checkpoint.*",
)


def resumed_config(run_dir: Path, overrides: Sequence[str]) -> RunConfig:
    """The settings of the run in ``run_dir`` with the few changes that resuming allows.

    Raises:
        ConfigError: no run there, one that a living process works on, a change that is not allowed, or values that
            the schema refuses.
    """
    config = read_config(run_dir / CONFIG_FILE)
    try:
        with run_lock(run_dir):  # the lock decides, not the note beside it, which a killed process leaves behind
            pass
    except RunDirectoryLockedError as error:
        raise ConfigError([str(error)], "resume") from None
    values = config_values(config)
    problems = [problem for text in overrides if (problem := _apply(text, values)) is not None]
    if problems:
        raise ConfigError(problems, "resume")
    return parse_config(values)


def _apply(text: str, values: dict[str, Any]) -> str | None:
    """Change ``values`` as ``text`` says, or return why not."""
    try:
        item = OverridesParser.create().parse_overrides([text])[0]
    except HydraException as error:
        return syntax_problem(text, error)
    key = item.key_or_group
    section, _, name = key.rpartition(".")
    plain = not (item.is_add() or item.is_delete() or item.is_force_add() or item.is_sweep_override())
    if not plain or (key not in CHANGEABLE and f"{section}.*" not in CHANGEABLE):
        allowed = ", ".join(CHANGEABLE)
        return f"{text}: resume may change only {allowed}; anything else is another run: start it without resume"
    if name not in values[section]:
        return f"{key}: no such setting{setting_hint(key, [f'{section}.{known}' for known in values[section]])}"
    values[section][name] = item.value()
    return None
