"""`igrpo train`: compose and check the settings, then train; `resume=RUN_DIR` goes on with a run."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from igrpo.config import ConfigError, RunConfig
from igrpo.config.checks import missing_files
from igrpo.hydra_support.suggest import nearest

_FLAGS = {"-h": "help", "--help": "help", "-m": "multirun", "--multirun": "multirun", "--check": "check"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line, sorted: what to do, and the overrides for Hydra or for a resumed run."""

    overrides: tuple[str, ...]
    resume: Path | None
    flags: frozenset[str]


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says and return the exit code.

    Raises:
        ConfigError: wrong settings; nothing was started and no directory was made.
    """
    asked = parse_arguments(arguments)
    if "help" in asked.flags:
        from igrpo.commands.help_page import page

        print(page())
        return 0
    from igrpo.tracking.stale import repair_stale_runs

    # what a kill -9 left behind in the folders where runs lie by default; a run looks further, into its MLflow
    repair_stale_runs(None, [Path.cwd() / "runs", Path.cwd() / "multirun"])
    from igrpo.commands.job import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED, RunError

    try:
        if asked.resume is not None:
            _resume(asked.resume, asked)
        elif "multirun" in asked.flags:
            _sweep(asked)
        else:
            _single(asked)
    except RunError:
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as stop:  # SIGTERM: the run said so already
        return stop.code if isinstance(stop.code, int) else EXIT_TERMINATED
    return 0


def parse_arguments(arguments: Sequence[str]) -> Arguments:
    """Sort the command line; `sweep=NAME` asks for --multirun by itself.

    Raises:
        ConfigError: an unknown flag, or resume together with a sweep.
    """
    unknown = [text for text in arguments if text.startswith("-") and text not in _FLAGS]
    if unknown:
        raise ConfigError([f"{text}: no such flag{_flag_hint(text)}" for text in unknown], "the command line")
    flags = {_FLAGS[text] for text in arguments if text in _FLAGS}
    overrides = [text for text in arguments if text not in _FLAGS and not text.startswith("resume=")]
    resumed = [text.partition("=")[2].strip("'\"") for text in arguments if text.startswith("resume=")]
    if any(re.match(r"\+{0,2}(sweep=(?!null$|$)|hydra\.mode=MULTIRUN$)", text) for text in overrides):
        flags.add("multirun")
    if len(resumed) > 1 or (resumed and not resumed[0]):
        raise ConfigError(["resume: give it one run directory, as in resume=RUN_DIR"], "the command line")
    if resumed and "multirun" in flags:
        raise ConfigError(["resume goes on with one run: leave out sweep=NAME and --multirun"], "the command line")
    return Arguments(tuple(overrides), Path(resumed[0]) if resumed else None, frozenset(flags))


def _single(asked: Arguments) -> None:
    from igrpo.commands.job import hydra_job
    from igrpo.commands.run_dir import claim, remove_if_empty
    from igrpo.hydra_support.composer import Composer

    with Composer("train") as composer:
        planned = composer.check_run(asked.overrides)
        _require_files([planned.config])
        if "check" in asked.flags:
            _show(planned.config)
            return
        directory = claim(planned.directory, chosen=planned.chosen, setting="hydra.run.dir")
        try:
            composer.run([*asked.overrides, f"hydra.run.dir={_quoted(directory)}"], hydra_job)
        except ConfigError:
            remove_if_empty(directory)
            raise


def _sweep(asked: Arguments) -> None:
    from igrpo.commands.console import print_sweep
    from igrpo.commands.job import RunError, hydra_job
    from igrpo.commands.run_dir import claim, remove_if_empty
    from igrpo.hydra_support.composer import Composer

    with Composer("train") as composer:
        planned = composer.check_sweep(asked.overrides)
        _require_files([config for _, config in planned.cells])
        for number, (label, _) in enumerate(planned.cells):
            print(f"run {number}: {label}")
        if "check" in asked.flags:
            print(f"{len(planned.cells)} runs, all of them checked" if planned.cells else "checked")
            return
        directory = claim(planned.directory, chosen=planned.chosen, setting="hydra.sweep.dir")
        try:
            composer.multirun([*asked.overrides, f"hydra.sweep.dir={_quoted(directory)}"], hydra_job)
        except ConfigError:
            remove_if_empty(directory)
            raise
        except KeyboardInterrupt:
            print(f"igrpo: the sweep was interrupted; what is done lies in {directory}", file=sys.stderr)
            raise
        failed = print_sweep(directory, [label for label, _ in planned.cells]) if planned.cells else 0
        print(f"the sweep lies in {directory}")
        if failed:
            raise RunError(f"{failed} of {len(planned.cells)} runs failed")


def _resume(run_dir: Path, asked: Arguments) -> None:
    from igrpo.commands.console import print_summary
    from igrpo.commands.job import execute
    from igrpo.commands.resume import finished_summary, resumed_config

    config = resumed_config(run_dir, asked.overrides)
    summary = finished_summary(run_dir, config)
    if summary is not None:
        print_summary(summary, run_dir.absolute(), None, None)
        print(f"already finished ({config.trainer.steps} steps); to go on, give more: trainer.steps=NUMBER")
        return
    _require_files([config])
    if "check" in asked.flags:
        _show(config)
        return
    execute(config, run_dir.absolute(), resume=True)


def _require_files(configs: Sequence[RunConfig]) -> None:
    problems = dict.fromkeys(problem for config in configs for problem in missing_files(config))
    if problems:
        raise ConfigError(list(problems))


def _show(config: RunConfig) -> None:
    from igrpo.commands.console import print_facts, print_tree
    from igrpo.config.facts import resolved_facts

    print_tree(config)
    print_facts(resolved_facts(config))


def _flag_hint(text: str) -> str:
    near = nearest(text, _FLAGS)
    return f"; did you mean {near}?" if near else f"; known: {', '.join(_FLAGS)}"


def _quoted(path: Path) -> str:
    """The path as a value of Hydra's override grammar."""
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
