"""`igrpo doctor`: report the needs of a run and check that it would work. Trains nothing, downloads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from igrpo.config import ConfigError, RunConfig
from igrpo.messages import nearest

if TYPE_CHECKING:
    from igrpo.tools.doctor.page import Diagnosis

EXIT_WELL, EXIT_FAILS = 0, 1

_USAGE = """\
usage: igrpo doctor [SETTING=VALUE ...] [--memory GIB] [--device NAME] [--mean-tokens N] [--server-devices N] [--load]
                    [--no-load] [--draft-seconds S]

Settings are those of `igrpo train`. Shows on one page what such a run holds in memory, component by component, and what
to change where that does not fit; the tokens, operations and GPU-hours of GRPO and of iGRPO; and, where model and data
are on this machine, whether tokenizer, prompts, reward and a rollout work, and what a draft in the prompt is worth for
this model (up to 64 development questions, 4 samples each). Trains nothing and downloads nothing.

  --memory GIB        memory of a device (without it: what CUDA reports here, else that of --device)
  --device NAME       whose speed and memory are taken: {devices} (default: a100)
  --mean-tokens N     mean length of a completion (without it: half of sampling.max_completion_tokens)
  --server-devices N  devices behind a vLLM server (without it: rollout.tensor_parallel)
  --load              load the model however large it is, to check it
  --no-load           do not load the model, nor ask the reward
  --draft-seconds S   most seconds that are spent on what a draft is worth (default: {seconds:g})
  --help, -h          this page

Exit code: 0 when nothing is known that would fail, 1 when something would, 2 for wrong settings.

Examples
  igrpo doctor experiment=paper/deepseek_r1_distill_qwen_7b
  igrpo doctor experiment=paper/cost --mean-tokens 1500
  igrpo doctor experiment=math_local data.path=FILE model=huggingface model.name_or_path=DIRECTORY trainer=single"""

_NUMBERS = ("--memory", "--mean-tokens", "--server-devices", "--draft-seconds")
_FRACTIONS = ("--memory", "--draft-seconds")
_FLAGS = ("--load", "--no-load", "--help", "-h")


@dataclass(frozen=True, slots=True)
class Arguments:
    """Parsed command line."""

    overrides: tuple[str, ...]
    flags: frozenset[str]
    memory: float | None
    mean_tokens: int | None
    server_devices: int | None
    device: str | None
    draft_seconds: float | None


def run(arguments: Sequence[str]) -> int:
    """Print the page and return the exit code.

    Raises:
        ConfigError: invalid settings.
    """
    from igrpo.tools.doctor.cost import DEVICES
    from igrpo.tools.doctor.static_checks import DRAFT_SECONDS

    if {"--help", "-h"} & set(arguments):
        print(_USAGE.format(devices=", ".join(DEVICES), seconds=DRAFT_SECONDS))
        return EXIT_WELL
    asked = parse_arguments(arguments)
    from igrpo.config.composing.composer import Composer

    with Composer("train") as composer:
        config = composer.check_run(asked.overrides).config
    from igrpo.runs.console import get_console
    from igrpo.tools.doctor.page import print_page

    with _offline():
        found = diagnose(config, asked)
    print_page(found, get_console())
    return EXIT_WELL if found.well else EXIT_FAILS


def parse_arguments(arguments: Sequence[str]) -> Arguments:
    """Parse the command line; ``--flag VALUE`` and ``--flag=VALUE`` are both accepted.

    Raises:
        ConfigError: an unknown flag, or a value that is not a positive number or not a known device.
    """
    overrides: list[str] = []
    flags: set[str] = set()
    values: dict[str, str] = {}
    problems: list[str] = []
    waiting = iter(arguments)
    for text in waiting:
        name, given, value = text.partition("=")
        if name in (*_NUMBERS, "--device"):
            values[name] = value if given else next(waiting, "")
        elif text in _FLAGS:
            flags.add(text)
        elif text.startswith("-"):
            near = nearest(name, (*_NUMBERS, "--device", *_FLAGS))
            problems.append(f"{text}: no such flag" + (f"; did you mean {near}?" if near else ""))
        else:
            overrides.append(text)
    numbers = {name: _number(name, values[name], problems) for name in _NUMBERS if name in values}
    device = values.get("--device")
    from igrpo.tools.doctor.cost import DEVICES

    if device is not None and device not in DEVICES:
        problems.append(f"--device={device}: not one of {', '.join(DEVICES)}")
    if problems:
        raise ConfigError(problems, "the command line")
    tokens, servers = numbers.get("--mean-tokens"), numbers.get("--server-devices")
    return Arguments(
        tuple(overrides),
        frozenset(flags),
        memory=numbers.get("--memory"),
        mean_tokens=None if tokens is None else int(tokens),
        server_devices=None if servers is None else int(servers),
        device=device,
        draft_seconds=numbers.get("--draft-seconds"),
    )


def _number(name: str, text: str, problems: list[str]) -> float | None:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    whole = name in _FRACTIONS or value == int(value) if value < float("inf") else False
    if not (value > 0 and whole):
        problems.append(f"{name}={text}: give it a positive {'number' if name in _FRACTIONS else 'whole number'}")
        return None
    return value


def diagnose(config: RunConfig, asked: Arguments) -> Diagnosis:
    """Run the checks and estimates that the page shows."""
    from igrpo.tools.doctor.advice import memory_of, plans
    from igrpo.tools.doctor.cost import DEVICES, compared_runs, default_assumptions, step_cost
    from igrpo.tools.doctor.device import GIB, on_cpu
    from igrpo.tools.doctor.page import Diagnosis
    from igrpo.tools.doctor.paper import references
    from igrpo.tools.doctor.shape import Shape, UnknownShapeError
    from igrpo.tools.doctor.shapes import shape_of
    from igrpo.tools.doctor.static_checks import DRAFT_SECONDS, NOT_MEASURED, Check, static_checks

    checks: list[Check] = []
    shape: Shape | None = None
    try:
        shape = shape_of(config.model)
    except UnknownShapeError as error:
        checks.append(Check("memory and cost", "not checked", str(error)))
    else:
        checks += static_checks(config, shape)
    if "--no-load" not in asked.flags:
        from igrpo.tools.doctor.live_checks import live_checks

        seconds = DRAFT_SECONDS if asked.draft_seconds is None else asked.draft_seconds
        checks += live_checks(config, shape, load="--load" in asked.flags, draft_seconds=seconds)
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


def _memory_here(config: RunConfig, asked: Arguments) -> float | None:
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
