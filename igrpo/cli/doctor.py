"""`igrpo doctor`: report the needs of a run and check that it would work. Trains nothing, downloads nothing."""

from __future__ import annotations

import argparse

from igrpo.cli.arguments import Parser, number, whole_number

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
    from igrpo.tools.doctor.device import DEVICES
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
    add(
        "--server-devices",
        type=count,
        metavar="N",
        help="devices of a vLLM server (default: rollout.tensor_parallel x rollout.data_parallel_size)",
    )
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
    from igrpo.runs.console import get_console, waiting

    with Composer("train") as composer:
        config = composer.check_run(asked.settings).config
    from igrpo.tools.doctor.diagnosis import Options, diagnose
    from igrpo.tools.doctor.page import print_page

    options = Options(
        memory=asked.memory,
        device=asked.device,
        mean_tokens=asked.mean_tokens,
        server_devices=asked.server_devices,
        load=False if asked.no_load else asked.load or None,
        draft_seconds=asked.draft_seconds,
    )
    with waiting("estimating memory, time and cost"):
        diagnosis = diagnose(config, options)
    print_page(diagnosis, get_console())
    return EXIT_WELL if diagnosis.well else EXIT_FAILS
