"""`igrpo train`: compose and check the settings, then train; `resume=RUN_DIR` continues a run."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from igrpo.cli.arguments import Parser
from igrpo.cli.help_page import settings_help
from igrpo.config import ConfigError
from igrpo.runs.console import waiting

#: File that marks the directory of a sweep (written by igrpo.runs.sweep_directory).
SWEEP_FILE = "sweep.json"

#: What ``--info`` prints, as Hydra names it.
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")

_EXAMPLES = (
    "igrpo train experiment=quickstart algorithm=grpo seed=1",
    "igrpo train experiment=compare data.path=FILE model.name_or_path=DIR --plan",
    "igrpo train experiment=chains sweep=grpo_vs_igrpo hydra/launcher=joblib",
    "igrpo train resume=RUN_DIR trainer.steps=200",
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """Parsed command line.

    Attributes:
        overrides: settings for Hydra, or for the run or sweep that is resumed.
        resume: directory of the run or sweep to resume.
        tuned: directories of the searches whose results are used.
        flags: flags without their dashes.
    """

    overrides: tuple[str, ...]
    resume: Path | None
    tuned: tuple[Path, ...]
    flags: frozenset[str]


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "train",
        "Train a model, or the models of a sweep.",
        _EXAMPLES,
        settings=argparse.SUPPRESS,  # the page describes them below
        notes=settings_help,
        topics=_topic_page,
    )
    add = made.add_argument
    add("--check", action="store_true", help="check and print the settings; train nothing")
    add("--multirun", "-m", action="store_true", help="one run per combination of the values in KEY=A,B")
    add("--plan", action="store_true", help="of a sweep: print what it takes; train nothing")
    add("--verbose", "-v", action="store_true", help="print all settings, and all that they resolve to")
    add("--no-measure", action="store_true", help="of a sweep: do not measure a step first")
    add(
        "--cfg",
        "-c",
        choices=("job", "hydra", "all"),
        metavar="WHAT",
        help="print the settings as YAML: job, hydra, all",
    )
    add("--package", "-p", metavar="PART", help="of --cfg: only this section")
    add("--resolve", action="store_true", help="of --cfg: with interpolations resolved")
    add(
        "--info",
        "-i",
        nargs="?",
        const="all",
        choices=INFO,
        metavar="WHAT",
        help="print what Hydra composes, and where from",
    )
    return made


def _topic_page(topic: str, width: int) -> str:
    from igrpo.cli.topics import topic_page

    return topic_page(topic, width)


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid settings; nothing was started and no directory was created.
        KeyboardInterrupt, SystemExit: the command was stopped.
    """
    arguments = train_arguments(asked)
    alone = [f"--{name} is for --cfg: add --cfg job" for name in ("package", "resolve") if getattr(asked, name)]
    if alone and asked.cfg is None:
        raise ConfigError(alone, "the command line")
    if asked.cfg is not None or asked.info is not None:
        _print_composition(asked, arguments)
        return 0
    from igrpo.runs.stale import repair_stale_runs

    # correct runs left by a kill -9 in the default folders; a starting run also checks its MLflow
    with waiting("looking at earlier runs"):
        repair_stale_runs(None, [Path.cwd() / "runs", Path.cwd() / "multirun"])
    from igrpo.runs.lifecycle import RunError

    try:
        if arguments.resume is not None and (arguments.resume / SWEEP_FILE).is_file():
            from igrpo.sweeps.sweep import resume_sweep

            resume_sweep(arguments.resume, arguments.overrides, arguments.flags)
        elif arguments.resume is not None:
            _resume(arguments.resume, arguments)
        elif _is_sweep(arguments):
            from igrpo.sweeps.sweep import start_sweep

            start_sweep(arguments.overrides, arguments.tuned, arguments.flags)
        else:
            _single(arguments)
    except RunError as error:
        return error.code
    return 0


def train_arguments(asked: argparse.Namespace) -> Arguments:
    """Split the settings into overrides, ``resume=`` and ``tuned=``; `sweep=NAME` implies --multirun.

    Raises:
        ConfigError: an invalid combination with resume=.
    """
    flags = {
        name
        for name in ("check", "multirun", "plan", "no-measure", "verbose")
        if getattr(asked, name.replace("-", "_"))
    }
    overrides = [text for text in asked.settings if not text.startswith(("resume=", "tuned="))]
    resumed, tuned = _paths("resume", asked.settings), _paths("tuned", asked.settings, several=True)
    if any(re.match(r"\+{0,2}(sweep=(?!null$|$)|hydra\.mode=MULTIRUN$)", text) for text in overrides):
        flags.add("multirun")
    if len(resumed) > 1:
        raise ConfigError(["resume: give one run or sweep directory, as in resume=RUN_DIR"], "the command line")
    if resumed and "multirun" in flags and not (resumed[0] / SWEEP_FILE).is_file():
        raise ConfigError(
            [f"resume={resumed[0]}: no sweep there (it has no {SWEEP_FILE}); resume a run without sweep=NAME"],
            "the command line",
        )
    if tuned and resumed:
        raise ConfigError(["tuned= is for the start of a sweep: its runs already have their settings"], "resume")
    return Arguments(tuple(overrides), resumed[0] if resumed else None, tuned, frozenset(flags))


def _paths(name: str, arguments: Sequence[str], *, several: bool = False) -> tuple[Path, ...]:
    """Return the directories in ``name=A``, ``name=A,B`` or ``name=[A,B]``; an existing path is not split."""
    parts: list[str] = []
    for text in (text.partition("=")[2] for text in arguments if text.startswith(f"{name}=")):
        if text and Path(text).exists():
            parts.append(text)
        else:
            inner = text.strip("'\"")
            parts += [part.strip(" '\"") for part in (inner.strip("[]").split(",") if several else [inner])]
    if not all(parts):
        raise ConfigError([f"{name}: give a directory, as in {name}=DIRECTORY"], "the command line")
    return tuple(Path(part) for part in parts)


def _is_sweep(arguments: Arguments) -> bool:
    """True if several runs are asked for, by the command line or by the grid of a chosen preset.

    Raises:
        ConfigError: a single run is asked for with options that only a sweep has.
    """
    if "multirun" in arguments.flags:
        return True
    from igrpo.config.composing.composer import Composer

    with Composer("train") as composer:
        if composer.has_grid(arguments.overrides):
            return True
    _refuse_sweep_options(arguments, "add sweep=NAME, or --multirun")
    return False


def _refuse_sweep_options(arguments: Arguments, advice: str) -> None:
    alone = [f"--{flag}" for flag in ("plan", "no-measure") if flag in arguments.flags]
    alone += ["tuned="] if arguments.tuned else []
    if alone:
        raise ConfigError([f"{text} is for a sweep: {advice}" for text in alone], "the command line")


def _single(arguments: Arguments) -> None:
    from igrpo.config.composing.composer import Composer
    from igrpo.config.composing.overrides import quoted
    from igrpo.runs.claim import claim, remove_if_empty
    from igrpo.runs.printing import print_settings
    from igrpo.runs.resume import require_files
    from igrpo.sweeps.cell import hydra_job

    with Composer("train") as composer:
        with waiting("checking the settings"):
            planned = composer.check_run(arguments.overrides)
            require_files([planned.config])
        if "check" in arguments.flags:
            print_settings(planned.config, verbose="verbose" in arguments.flags)
            return
        directory = claim(planned.directory, chosen=planned.chosen, setting="hydra.run.dir")
        print_settings(planned.config, directory, verbose="verbose" in arguments.flags)
        try:
            composer.run([*arguments.overrides, f"hydra.run.dir={quoted(directory)}"], hydra_job)
        except ConfigError:
            remove_if_empty(directory)
            raise


def _resume(run_dir: Path, arguments: Arguments) -> None:
    from igrpo.runs.execution import execute
    from igrpo.runs.printing import print_settings, print_summary
    from igrpo.runs.resume import finished_message, finished_summary, has_begun, require_files, resumed_config

    if not run_dir.is_dir():
        raise ConfigError([f"resume={run_dir}: there is no such directory"], "the command line")
    _refuse_sweep_options(arguments, f"{run_dir} is a single run; --check prints its settings and trains nothing")
    config = resumed_config(run_dir, arguments.overrides)
    summary = finished_summary(run_dir, config)
    if summary is not None:
        print_summary(summary, run_dir.absolute(), None, None)
        print(finished_message(run_dir, config))
        return
    require_files([config])
    if "check" in arguments.flags:
        print_settings(config, verbose="verbose" in arguments.flags)
        return
    print_settings(config, run_dir, verbose="verbose" in arguments.flags)
    execute(config, run_dir.absolute(), resume=has_begun(run_dir))


def _print_composition(asked: argparse.Namespace, arguments: Arguments) -> None:
    """Print the settings as Hydra composes them, or where they come from; no run starts."""
    if arguments.resume is not None:
        raise ConfigError([f"resume= and --cfg: the settings of a run are in {arguments.resume}/config.yaml"], "resume")
    from igrpo.config.composing.composition import Composition

    with Composition("train") as composition:
        if asked.cfg is not None:
            composition.show_config(arguments.overrides, asked.cfg, asked.package, resolve=asked.resolve)
        else:
            composition.show_info(arguments.overrides, asked.info, sweep="multirun" in arguments.flags)
