"""Numbers of a row's runs other than accuracies: cost, and entropy over the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from igrpo.config import RunConfig, read_config
from igrpo.report.curves import seconds_of_training
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.run_directory import RunDirectory
from igrpo.settings.rollout import VllmServerConfig

Lines = Sequence[Mapping[str, Any]]

_ENTROPY = "train/entropy"
_GIB, _GB = 2**30, 1e9


def training_lines(run_dir: Path) -> list[Mapping[str, Any]]:
    """Return the metrics of the training steps of a run, in order."""
    return [line for line in read_metrics(RunDirectory(run_dir).metrics) if "budget/samples" in line]


def cost(run_dir: Path, what: str) -> float | None:
    """Return one of ``COSTS`` of a finished run; None if it was not measured."""
    return COSTS[what](training_lines(run_dir), read_config(RunDirectory(run_dir).config))


def entropy_at(run_dir: Path, percent: str) -> float | None:
    """Return the entropy of the trained samples at a percentage of the training, in nats per token.

    The first step, which is sampled before any update, is 0 %, and the last one is 100 %. A step whose entropy is not
    known gives None.
    """
    lines = training_lines(run_dir)
    at = round(float(percent) / 100 * (len(lines) - 1))
    value = lines[at].get(_ENTROPY)
    return None if value is None else float(value)


def _peak_gb(lines: Lines, _: RunConfig) -> float | None:
    peaks = [line["memory/peak_gib"] for line in lines if "memory/peak_gib" in line]
    return max(peaks) * _GIB / _GB if peaks else None


def _samples_per_second(lines: Lines, _: RunConfig) -> float:
    return float(lines[-1]["budget/samples"]) / seconds_of_training(lines[-1])


def _questions_per_second(lines: Lines, config: RunConfig) -> float:
    return len(lines) * config.trainer.questions_per_step / seconds_of_training(lines[-1])


def _device_hours(lines: Lines, config: RunConfig) -> float:
    return seconds_of_training(lines[-1]) * (config.processes + _serving(config)) / 3600


def _serving(config: RunConfig) -> int:
    """Return the number of devices of a run's vLLM server."""
    rollout = config.rollout
    return rollout.tensor_parallel * rollout.data_parallel_size if isinstance(rollout, VllmServerConfig) else 0


#: What the columns of a table of costs may show. Devices are those that train and those that serve; on a CPU a process
#: counts as one.
COSTS: Mapping[str, Callable[[Lines, RunConfig], float | None]] = {
    "peak_gb": _peak_gb,
    "samples_per_second": _samples_per_second,
    "questions_per_second": _questions_per_second,
    "device_hours": _device_hours,
}
