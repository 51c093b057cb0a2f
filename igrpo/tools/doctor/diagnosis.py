"""Diagnosis of a run: memory, cost and checks, without training or downloads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from igrpo.config.schema import RunConfig
from igrpo.models.load import AttentionError
from igrpo.tools.doctor.advice import FittingPlan, Memory, memory_of, plans
from igrpo.tools.doctor.cost import Assumptions, StepCost, compared_runs, default_assumptions, step_cost
from igrpo.tools.doctor.device import DEVICES, GIB, on_cpu
from igrpo.tools.doctor.memory import trainer_memory
from igrpo.tools.doctor.paper import Reference, references
from igrpo.tools.doctor.shape import Shape, UnknownShapeError, shape_of
from igrpo.tools.doctor.static_checks import DRAFT_SECONDS, NOT_MEASURED, Check, static_checks


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Content of the page. Without ``shape`` there are only ``checks``.

    Attributes:
        costs: costs of GRPO, of iGRPO, and of the run if it is neither, at equal samples (for the run, at most these).
        timed: True if seconds are meaningful (the model of time is for accelerators only).
    """

    config: RunConfig
    shape: Shape | None
    memory: Memory | None
    plans: Sequence[FittingPlan]
    costs: dict[str, StepCost]
    assumed: Assumptions | None
    references: Sequence[Reference]
    checks: Sequence[Check]
    timed: bool

    @property
    def well(self) -> bool:
        """True if nothing is known that would fail."""
        fits = self.memory is None or self.memory.fits
        return fits and all(check.state != "failed" for check in self.checks)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the command line in addition to the settings of the run.

    Attributes:
        memory: GiB of a device (None: what CUDA reports on this machine, else that of ``device``).
        device: key of `DEVICES` (None: a100).
        mean_tokens: mean length of a completion (None: half of sampling.max_completion_tokens).
        server_devices: number of devices of a vLLM server (None: rollout.tensor_parallel x rollout.data_parallel_size).
        load: load the model (None: unless it is large and there is no CUDA device).
        draft_seconds: time limit for measuring the worth of a draft.
    """

    memory: float | None = None
    device: str | None = None
    mean_tokens: int | None = None
    server_devices: int | None = None
    load: bool | None = None
    draft_seconds: float = DRAFT_SECONDS


def diagnose(config: RunConfig, options: Options) -> Diagnosis:
    """Run the checks and estimates that the page shows. Nothing is downloaded."""
    with _offline():
        shape, checks = _sizes(config)
        if options.load is False:
            checks.append(NOT_MEASURED)
        else:
            from igrpo.tools.doctor.live_checks import live_checks

            checks += live_checks(config, shape, load=options.load is True, draft_seconds=options.draft_seconds)
    if shape is None:
        return Diagnosis(config, None, None, (), {}, None, (), checks, timed=False)
    assumed = default_assumptions(config, DEVICES[options.device or "a100"])
    if options.mean_tokens is not None:
        assumed = replace(assumed, completion_tokens=min(options.mean_tokens, config.sampling.max_completion_tokens))
    if options.server_devices is not None:
        assumed = replace(assumed, server_devices=options.server_devices)
    limit = GIB * (options.memory or _memory_here(config, options) or assumed.device.memory)
    return Diagnosis(
        config=config,
        shape=shape,
        memory=memory_of(config, shape, limit),
        plans=plans(config, shape, limit),
        costs={name: step_cost(run, shape, assumed) for name, run in compared_runs(config).items()},
        assumed=assumed,
        references=references(config, shape, assumed),
        checks=checks,
        timed=not on_cpu(config),
    )


def _sizes(config: RunConfig) -> tuple[Shape | None, list[Check]]:
    """Return the sizes of the run's model (None: they are not known) and the checks of them."""
    try:
        shape = shape_of(config.model)
        trainer_memory(config, shape, limit=0)
    except UnknownShapeError as error:
        return None, [Check("memory and cost", "not checked", str(error))]
    except AttentionError as error:
        return None, [Check("attention", "failed", str(error))]
    return shape, list(static_checks(config, shape))


def _memory_here(config: RunConfig, options: Options) -> float | None:
    """Return the GiB of memory of this machine's CUDA device, or of the machine if the run uses the CPU.

    None if there is no CUDA device, or if another device was asked for.
    """
    if on_cpu(config):
        import psutil

        return float(psutil.virtual_memory().total) / GIB
    if options.device is not None:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return float(torch.cuda.get_device_properties(0).total_memory) / GIB


@contextmanager
def _offline() -> Iterator[None]:
    """Forbid downloads from Hugging Face within the context."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
