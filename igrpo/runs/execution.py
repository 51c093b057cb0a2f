"""Execution of one run from its checked settings to its summary, with a message for each way it can end."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from igrpo.config import RunConfig
from igrpo.console import waiting
from igrpo.lazy_imports import quick_imports
from igrpo.runs.command import recipe
from igrpo.runs.lifecycle import EXIT_INTERRUPTED, Ending, RunError, SignalHandlers, Terminated
from igrpo.runs.log_file import FILE_ONLY, run_log
from igrpo.runs.printing import print_summary
from igrpo.runs.ranks import train_in_processes
from igrpo.runs.resume import checkpoint_step
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import SweepDirectory

log = logging.getLogger(__name__)


def execute(config: RunConfig, run_dir: Path, *, resume: bool, brief: bool = False) -> Mapping[str, Any] | None:
    """Train in ``run_dir`` and print the result, unless the table of a sweep shows it (``brief``).

    Raises:
        RunError: training failed, or paused at a limit; the reason was printed, and a traceback is in the run's log.
        Terminated: Ctrl-C or a signal stopped the run; how to resume was printed.
    """
    try:
        summary: Mapping[str, Any] | None = attempt(config, run_dir, resume=resume)
    except BaseException as error:
        ending = Ending.of(error)
        print(f"igrpo: {ending_message(ending, config, run_dir)}", file=sys.stderr)
        if ending.kind == "stopped":
            raise Terminated(ending.exit_code - 128) from None
        raise RunError(ending.reason, ending.exit_code) from None
    if summary is not None and not brief:
        links = summary.get("tracking") or {}
        print_summary(summary, run_dir, links.get("ui_command"), links.get("run_link"))
    return summary


def attempt(config: RunConfig, run_dir: Path, *, resume: bool) -> Mapping[str, Any]:
    """Train in ``run_dir`` with the run's log, and log how it ended. An error is raised as it is."""
    with run_log(run_dir), SignalHandlers():
        try:
            if config.processes > 1:
                return train_in_processes(config, run_dir, resume=resume)
            import_training()
            from igrpo.runs.training_run import train

            return train(config, run_dir, resume=resume)
        except BaseException as error:
            ending = Ending.of(error)
            failed = ending.kind in {"failed", "lost"}
            level = logging.ERROR if failed else logging.WARNING
            log.log(level, "%s: %s", ending.kind, ending.reason, extra={FILE_ONLY: True}, exc_info=failed)
            raise


def import_training() -> None:
    """Import what training needs: torch, transformers and Lightning, which takes seconds at the first call."""
    if "igrpo.runs.training_run" not in sys.modules:
        with waiting("importing torch, transformers and Lightning", lines=True), quick_imports():
            import_module("igrpo.runs.training_run")


def ending_message(ending: Ending, config: RunConfig, run_dir: Path) -> str:
    """Return a message about the end of a run that did not finish: the reason, and how to resume it."""
    if ending.kind == "paused":
        return f"paused: {ending.reason}{recipe(resume_command(run_dir), f'{ending.setting}=MORE')}"
    if ending.kind != "stopped":
        return f"{ending.reason}\n  details: {RunDirectory(run_dir).log}"
    word = "interrupted" if ending.exit_code == EXIT_INTERRUPTED else "stopped"
    if not SweepDirectory(run_dir.parent).exists and not RunDirectory(run_dir).config.is_file():
        return f"{word}; the run had not started, so start it again with the same command"
    return f"{word}{recipe(resume_command(run_dir))}\n  {resume_point(config, run_dir)}"


def resume_point(config: RunConfig, run_dir: Path) -> str:
    """Return a message that names the step from which a stopped run would be resumed."""
    every = f"checkpoint.every={config.checkpoint.every}"
    step = checkpoint_step(run_dir)
    if step == 0:
        return f"there is no checkpoint yet ({every}), so the run starts from the beginning"
    return f"it continues after step {step}, the newest checkpoint ({every}); later steps are repeated"


def resume_command(run_dir: Path) -> str:
    """Return the command that resumes a run, or the sweep that it belongs to."""
    directory = run_dir.parent if SweepDirectory(run_dir.parent).exists else run_dir
    return f"igrpo train {shlex.quote(f'resume={directory}')}"
