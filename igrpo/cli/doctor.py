"""`igrpo doctor`: report the needs of a run and check that it would work. Trains nothing, downloads nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from igrpo.cli.arguments import Parser, number, whole_number
from igrpo.config import RunConfig

if TYPE_CHECKING:
    from igrpo.tools.doctor.page import Diagnosis

EXIT_WELL, EXIT_FAILS = 0, 1

_DESCRIPTION = """\
Show what a run holds in memory, component by component, and what to change where that does not fit; the tokens,
operations and GPU-hours of GRPO and of iGRPO; and, where model and data are on this machine, whether tokenizer,
prompts, reward and a rollout work, and what a draft in the prompt is worth for this model (up to 64 development
questions, 4 samples each). Trains nothing and downloads nothing.

Exit code: 0 if nothing is known that would fail, 1 if something would, 2 for invalid settings."""

_EXAMPLES = (
    "igrpo doctor experiment=paper/deepseek_r1_distill_qwen_7b",
    "igrpo doctor experiment=paper/cost --mean-tokens 1500",
    "igrpo doctor experiment=math_local data.path=FILE model=huggingface model.name_or_path=DIRECTORY trainer=single",
)


def parser() -> Parser:
    """Return the parser of the command line."""
    from igrpo.tools.doctor.cost import DEVICES
    from igrpo.tools.doctor.static_checks import DRAFT_SECONDS

    made = Parser("doctor", _DESCRIPTION, _EXAMPLES, settings="settings as for `igrpo train`")
    add, count, amount = made.add_argument, whole_number(1), number(positive=True)
    add("--memory", type=amount, metavar="GIB", help="memory of a device (default: what CUDA reports, else --device's)")
    add(
        "--device",
        choices=tuple(DEVICES),
        metavar="NAME",
        help=f"device whose speed and memory are assumed: {', '.join(DEVICES)} (default: a100)",
    )
    add("--mean-tokens", type=count, metavar="N", help="mean length of a completion (default: half of the maximum)")
    add("--server-devices", type=count, metavar="N", help="devices of a vLLM server (default: rollout.tensor_parallel)")
    loading = made.add_mutually_exclusive_group()
    loading.add_argument("--load", action="store_true", help="load the model, however large, to check it")
    loading.add_argument("--no-load", action="store_true", help="neither load the model nor ask the reward")
    add(
        "--draft-seconds",
        type=amount,
        metavar="S",
        default=DRAFT_SECONDS,
        help=f"time limit for measuring the worth of a draft, in seconds (default: {DRAFT_SECONDS:g})",
    )
    return made


def run(asked: argparse.Namespace) -> int:
    """Print the page and return the exit code.

    Raises:
        ConfigError: invalid settings.
    """
    from igrpo.config.composing.composer import Composer

    with Composer("train") as composer:
        config = composer.check_run(asked.settings).config
    from igrpo.runs.console import get_console
    from igrpo.tools.doctor.page import print_page

    with _offline():
        diagnosis = diagnose(config, asked)
    print_page(diagnosis, get_console())
    return EXIT_WELL if diagnosis.well else EXIT_FAILS


def diagnose(config: RunConfig, asked: argparse.Namespace) -> Diagnosis:
    """Run the checks and estimates that the page shows."""
    from igrpo.tools.doctor.advice import memory_of, plans
    from igrpo.tools.doctor.cost import DEVICES, compared_runs, default_assumptions, step_cost
    from igrpo.tools.doctor.device import GIB, on_cpu
    from igrpo.tools.doctor.page import Diagnosis
    from igrpo.tools.doctor.paper import references
    from igrpo.tools.doctor.shape import Shape, UnknownShapeError
    from igrpo.tools.doctor.shapes import shape_of
    from igrpo.tools.doctor.static_checks import NOT_MEASURED, Check, static_checks

    checks: list[Check] = []
    shape: Shape | None = None
    try:
        shape = shape_of(config.model)
    except UnknownShapeError as error:
        checks.append(Check("memory and cost", "not checked", str(error)))
    else:
        checks += static_checks(config, shape)
    if not asked.no_load:
        from igrpo.tools.doctor.live_checks import live_checks

        checks += live_checks(config, shape, load=asked.load, draft_seconds=asked.draft_seconds)
    else:
        checks.append(NOT_MEASURED)
    if shape is None:
        return Diagnosis(config, None, None, (), {}, None, (), checks, timed=False)
    assumed = default_assumptions(config, DEVICES[asked.device or "a100"])
    if asked.mean_tokens is not None:
        assumed = replace(assumed, completion_tokens=min(asked.mean_tokens, config.sampling.max_completion_tokens))
    if asked.server_devices is not None:
        assumed = replace(assumed, server_devices=asked.server_devices)
    limit = GIB * (asked.memory or _memory_here(config, asked) or assumed.device.memory)
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


def _memory_here(config: RunConfig, asked: argparse.Namespace) -> float | None:
    """Return the GiB of memory of this machine's CUDA device, or of the machine if the run uses the CPU.

    None if there is no CUDA device, or if another device was asked for.
    """
    from igrpo.tools.doctor.device import GIB, on_cpu

    if on_cpu(config):
        import psutil

        return float(psutil.virtual_memory().total) / GIB
    if asked.device is not None:
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
