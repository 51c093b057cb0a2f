"""`igrpo train`: compose and check the settings, then train; `resume=RUN_DIR` continues a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from igrpo.config import ConfigError, RunConfig
from igrpo.messages import nearest

#: File that marks the directory of a sweep (written by igrpo.runs.sweep_directory).
SWEEP_FILE = "sweep.json"

_FLAGS = {
    "-h": "help",
    "--help": "help",
    "-m": "multirun",
    "--multirun": "multirun",
    "--check": "check",
    "--plan": "plan",
    "--no-measure": "no-measure",
}


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


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid settings; nothing was started and no directory was created.
    """
    asked = parse_arguments(arguments)
    if "help" in asked.flags:
        from igrpo.cli.help_page import page

        print(page())
        return 0
    from igrpo.runs.stale import repair_stale_runs

    # correct runs left by a kill -9 in the default folders; a starting run also checks its MLflow
    repair_stale_runs(None, [Path.cwd() / "runs", Path.cwd() / "multirun"])
    from igrpo.runs.job import EXIT_INTERRUPTED, EXIT_TERMINATED, RunError

    try:
        if asked.resume is not None and (asked.resume / SWEEP_FILE).is_file():
            from igrpo.sweeps.sweep import resume_sweep

            resume_sweep(asked.resume, asked.overrides, asked.flags)
        elif asked.resume is not None:
            _resume(asked.resume, asked)
        elif _is_sweep(asked):
            from igrpo.sweeps.sweep import start_sweep

            start_sweep(asked.overrides, asked.tuned, asked.flags)
        else:
            _single(asked)
    except RunError as error:
        return error.code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as stop:  # SIGTERM: the run has already printed a message
        return stop.code if isinstance(stop.code, int) else EXIT_TERMINATED
    return 0


def parse_arguments(arguments: Sequence[str]) -> Arguments:
    """Parse the command line; `sweep=NAME` implies --multirun.

    Raises:
        ConfigError: an unknown flag, or an invalid combination with resume=.
    """
    unknown = [text for text in arguments if text.startswith("-") and text not in _FLAGS]
    if unknown:
        raise ConfigError([f"{text}: no such flag{_flag_hint(text)}" for text in unknown], "the command line")
    flags = {_FLAGS[text] for text in arguments if text in _FLAGS}
    overrides = [text for text in arguments if text not in _FLAGS and not text.startswith(("resume=", "tuned="))]
    resumed, tuned = _paths("resume", arguments), _paths("tuned", arguments, several=True)
    if any(re.match(r"\+{0,2}(sweep=(?!null$|$)|hydra\.mode=MULTIRUN$)", text) for text in overrides):
        flags.add("multirun")
    if len(resumed) > 1:
        raise ConfigError(["resume: give it one run or sweep directory, as in resume=RUN_DIR"], "the command line")
    if resumed and "multirun" in flags and not (resumed[0] / SWEEP_FILE).is_file():
        raise ConfigError(
            [f"resume={resumed[0]}: no sweep there (it has no {SWEEP_FILE}); a run goes on without sweep=NAME"],
            "the command line",
        )
    if tuned and resumed:
        raise ConfigError(["tuned= is for the start of a sweep: its runs have their settings already"], "resume")
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
        raise ConfigError([f"{name}: give it a directory, as in {name}=DIRECTORY"], "the command line")
    return tuple(Path(part) for part in parts)


def _is_sweep(asked: Arguments) -> bool:
    """True if several runs are asked for, by the command line or by the grid of a chosen preset.

    Raises:
        ConfigError: a single run is asked for with options that only a sweep has.
    """
    if "multirun" in asked.flags:
        return True
    from igrpo.config.composing.composer import Composer

    with Composer("train") as composer:
        if composer.has_grid(asked.overrides):
            return True
    alone = [f"--{flag}" for flag in ("plan", "no-measure") if flag in asked.flags] + ["tuned="] * bool(asked.tuned)
    if alone:
        raise ConfigError(
            [f"{text} is for a sweep: add sweep=NAME, or --multirun" for text in alone], "the command line"
        )
    return False


def _single(asked: Arguments) -> None:
    from igrpo.config.composing.composer import Composer
    from igrpo.config.composing.overrides import quoted
    from igrpo.runs.claim import claim, remove_if_empty
    from igrpo.runs.resume import require_files
    from igrpo.sweeps.cell import hydra_job

    with Composer("train") as composer:
        planned = composer.check_run(asked.overrides)
        require_files([planned.config])
        if "check" in asked.flags:
            _show(planned.config)
            return
        directory = claim(planned.directory, chosen=planned.chosen, setting="hydra.run.dir")
        try:
            composer.run([*asked.overrides, f"hydra.run.dir={quoted(directory)}"], hydra_job)
        except ConfigError:
            remove_if_empty(directory)
            raise


def _resume(run_dir: Path, asked: Arguments) -> None:
    from igrpo.runs.job import execute
    from igrpo.runs.printing import print_summary
    from igrpo.runs.resume import finished_summary, has_begun, how_to_go_on, require_files, resumed_config

    if not run_dir.is_dir():
        raise ConfigError([f"resume={run_dir}: there is no such directory"], "the command line")
    config = resumed_config(run_dir, asked.overrides)
    summary = finished_summary(run_dir, config)
    if summary is not None:
        print_summary(summary, run_dir.absolute(), None, None)
        print(how_to_go_on(run_dir, config))
        return
    require_files([config])
    if "check" in asked.flags:
        _show(config)
        return
    execute(config, run_dir.absolute(), resume=has_begun(run_dir))


def _show(config: RunConfig) -> None:
    from igrpo.config.facts import resolved_facts
    from igrpo.runs.printing import print_facts, print_tree

    print_tree(config)
    print_facts(resolved_facts(config))


def _flag_hint(text: str) -> str:
    near = nearest(text, _FLAGS)
    return f"; did you mean {near}?" if near else f"; known: {', '.join(_FLAGS)}"
