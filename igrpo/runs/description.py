"""Name and description of a run in MLflow: what it is, in a few words and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from igrpo.config import RunConfig
from igrpo.messages import count
from igrpo.runs.links import without_password
from igrpo.runs.naming import short_name
from igrpo.runs.summary import Summary

_MAX_NAME = 120

#: Overrides that ``run_name`` says already, or that do not change what is measured.
_UNTOLD = ("condition", "algorithm", "seed", "run_name", "resume")
_UNTOLD_GROUPS = ("hydra", "tracking", "checkpoint", "profile", "profiling")


def told_name(config: RunConfig, given: Mapping[str, str]) -> str:
    """Return ``run_name`` with the other settings that were given: 'quickstart-grpo-s0 steps=50 dapo'.

    Two runs of an experiment have the same name only if the same settings were given.
    """
    told = {key: without_password(value) for key, value in given.items() if not _is_untold(key)}
    if told.get("experiment", "") in config.run_name:
        told.pop("experiment", None)
    name = f"{config.run_name} {short_name(told)}" if told else config.run_name
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 3]}..."


def _is_untold(key: str) -> bool:
    return key in _UNTOLD or key.partition("@")[0].split(".")[0].split("/")[0] in _UNTOLD_GROUPS


def model_label(config: RunConfig) -> str:
    """Return the model's name without its folder, such as 'SmolLM2-135M-Instruct' or 'tiny'."""
    return Path(str(getattr(config.model, "name_or_path", config.model.name))).name


def data_label(config: RunConfig) -> str:
    """Return the name of the generated data, of the file without its folder, or of the data set."""
    data = config.data
    path = getattr(data, "path", None)
    return str(getattr(data, "dataset", data.name)) if path is None else Path(path).name


def describe(config: RunConfig, sweep: str | None) -> str:
    """Return a sentence that says what the run is. ``sweep`` is the title of its sweep."""
    title = config.algorithm.title
    label = title if config.condition == config.algorithm.name else f"{config.condition} ({title})"
    trainer = config.trainer
    part = "" if sweep is None else f"; part of sweep {sweep.removeprefix('sweep ')}"
    return (
        f"{label} on {model_label(config)}, {data_label(config)}, {count(trainer.steps, 'step')} of "
        f"{count(trainer.questions_per_step, 'question')} x {count(config.completions_per_question, 'completion')}, "
        f"seed {config.seed}{part}."
    )


def describe_result(summary: Summary) -> str:
    """Return a sentence with the accuracies on the test split before and after training; "" without one."""
    names = {"Single-shot": summary.single_shot, "draft-conditioned": summary.draft_conditioned}
    found = {name: (each.before, each.after, each.interval) for name, each in names.items() if each.after is not None}
    return "; ".join(f"{name} accuracy on the test split {_accuracy(*values)}" for name, values in found.items())


def _accuracy(before: float | None, after: Any, interval: tuple[float, float] | None) -> str:
    start = "" if before is None else f"{before:.1%} before, "
    end = "" if interval is None else f" [{interval[0]:.1%}, {interval[1]:.1%}]"
    return f"{start}**{after:.1%}** after training{end}"
