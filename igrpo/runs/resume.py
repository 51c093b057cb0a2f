"""Settings of a resumed run (`igrpo train resume=RUN_DIR`), read from its directory without Hydra's composition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from igrpo.config import ConfigError, RunConfig, config_values, parse_config, read_config
from igrpo.config.checks import missing_files
from igrpo.config.composing.diagnosis import syntax_problem
from igrpo.config.composing.overrides import is_readable, parse
from igrpo.messages import setting_hint
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.run_lock import RunDirectoryLockedError, run_lock
from igrpo.settings.judge import JUDGE_SERVICE
from igrpo.training.stopping import first_stop

#: Settings that may change when a run is resumed; any other change would make it a different run.
CHANGEABLE = (
    "trainer.steps",
    "trainer.device",
    "trainer.devices",
    "trainer.nodes",
    "trainer.strategy",
    "tracking.uri",
    "tracking.experiment",
    "tracking.example_questions",
    "tracking.rollout_files_kept",
    "rollout.url",
    "rollout.host",
    "rollout.port",
    "rollout.weights_dir",
    "rollout.transfer",
    "rollout.concurrency",
    "rollout.data_parallel_size",
    "rollout.request_timeout_s",
    "rollout.ready_timeout_s",
    "rollout.max_restarts",
    "rollout.gpu_memory_utilization",
    "checkpoint.*",
    "budget.*",
    "profile",
    "profiling.*",
)


def resumed_config(run_dir: Path, overrides: Sequence[str]) -> RunConfig:
    """Return the settings of the run in ``run_dir``, with the changes that resuming allows.

    Raises:
        ConfigError: there is no run, a living process works on it, a change is not allowed, or the schema refuses a
            value.
    """
    config = read_config(RunDirectory(run_dir).config)
    try:
        with run_lock(run_dir):  # checks the lock, since a killed process leaves its note behind
            pass
    except RunDirectoryLockedError as error:
        raise ConfigError([str(error)], "resume") from None
    values = config_values(config)
    problems = [problem for text in overrides if (problem := _apply(text, values)) is not None]
    if problems:
        raise ConfigError(problems, "resume")
    changed = parse_config(values)
    done = checkpoint_step(run_dir)
    if changed.trainer.steps < done:
        steps = changed.trainer.steps
        raise ConfigError(
            [f"trainer.steps={steps}: {run_dir} has completed {done} steps; set at least {done}"], "resume"
        )
    stop = _stop(run_dir, changed)
    if stop is not None and stop[0] < done:
        step, setting = stop
        limit = values["budget"][setting.removeprefix("budget.")]
        raise ConfigError(
            [
                f"{setting}={limit}: {run_dir} reached this limit after step {step} and has completed {done} steps; "
                "raise it, or set null"
            ],
            "resume",
        )
    return changed


def has_setting(run_dir: Path, text: str) -> bool:
    """True if the run in ``run_dir`` has the setting that an override changes."""
    item = parse(text)
    section, _, name = ("" if item is None else item.key_or_group).rpartition(".")
    node = _node(config_values(read_config(RunDirectory(run_dir).config)), section)
    return node is not None and name in node


def require_files(configs: Sequence[RunConfig]) -> None:
    """Check that all local files, folders and modules named in the settings exist.

    Raises:
        ConfigError: some do not exist; the message names each once.
    """
    problems = dict.fromkeys(problem for config in configs for problem in missing_files(config))
    if problems:
        raise ConfigError(list(problems))


def has_begun(run_dir: Path) -> bool:
    """True if a run has started. In a sweep, a run's folder with its settings exists before the run starts."""
    directory = RunDirectory(run_dir)
    return directory.record_file.exists() or directory.metrics.exists()


def checkpoint_step(run_dir: Path) -> int:
    """Return the step of the newest checkpoint, by file name; 0 without a checkpoint."""
    names = (path.stem.removeprefix("step-") for path in RunDirectory(run_dir).checkpoints.glob("step-*.ckpt"))
    return max((int(name) for name in names if name.isdigit()), default=0)


def finished_summary(run_dir: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the summary of a run that is complete under ``config``; None if it is not complete or has no summary."""
    directory = RunDirectory(run_dir)
    try:
        summary: dict[str, Any] = json.loads(directory.summary.read_text(encoding="utf-8"))
        status = directory.read_record().status
    except (OSError, ValueError):
        return None
    complete = status == "FINISHED" and summary["single_shot"]["after"] is not None
    stop = _stop(run_dir, config)
    last = config.trainer.steps if stop is None else min(stop[0], config.trainer.steps)
    return summary if complete and summary["steps"] == last else None


def finished_message(run_dir: Path, config: RunConfig) -> str:
    """Return a message for a finished run: the limit that ended it, and the setting that lets it continue."""
    stop, steps = _stop(run_dir, config), config.trainer.steps
    if stop is None or stop[0] >= steps:
        return f"already finished ({steps} steps); to continue, give a larger trainer.steps=NUMBER"
    step, setting = stop
    return (
        f"already finished ({setting} ended it after {step} of {steps} steps); to continue, give a larger "
        f"{setting}=NUMBER, or null"
    )


def _stop(run_dir: Path, config: RunConfig) -> tuple[int, str] | None:
    """Return the step at which a limit of ``config.budget`` ends the run, and the limit; None: not reached so far."""
    metrics = RunDirectory(run_dir).metrics
    return first_stop(config.budget, read_metrics(metrics)) if metrics.exists() else None


def _apply(text: str, values: dict[str, Any]) -> str | None:
    """Apply the override ``text`` to ``values``; return an error message if it is not allowed, else None."""
    try:
        item = OverridesParser.create().parse_overrides([text])[0]
    except HydraException as error:
        return syntax_problem(text, error, lambda line: _accepts(line, values))
    key = item.key_or_group
    section, _, name = key.rpartition(".")
    node = _node(values, section)
    if section and node is not None and name not in node:
        return f"{key}: no such setting{setting_hint(key, [f'{section}.{known}' for known in node])}"
    plain = not (item.is_add() or item.is_delete() or item.is_force_add() or item.is_sweep_override())
    of_a_judge = node is not None and node.get("name") == "judge"
    allowed = [*CHANGEABLE, *(f"{section}.{known}" for known in JUDGE_SERVICE if of_a_judge)]
    if not plain or node is None or name not in node or (key not in allowed and f"{section}.*" not in allowed):
        return (
            f"{text}: resuming may change only {', '.join(allowed)}; with another change it is another run: start "
            "it without resume="
        )
    node[name] = item.value()
    return None


def _accepts(text: str, values: dict[str, Any]) -> bool:
    """True if the change can be parsed and the schema accepts it."""
    changed = deepcopy(values)
    if not is_readable(text) or _apply(text, changed) is not None:
        return False
    try:
        parse_config(changed)
    except ConfigError:
        return False
    return True


def _node(values: dict[str, Any], section: str) -> dict[str, Any] | None:
    """Return the values of a section such as ``reward.parts.judge.reward``; None if there is no such section.

    The settings outside of sections are those of the section ``""``.
    """
    node: Any = values
    for name in section.split(".") if section else ():
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None
