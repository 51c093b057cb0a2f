"""Execution of an evaluation: its lock, its log, and a message for each way it can end."""

from __future__ import annotations

import logging
import shlex
import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path

from igrpo.console import waiting
from igrpo.files import shown_path
from igrpo.lazy_imports import quick_imports
from igrpo.runs.claim import claim, remove_if_empty, remove_unbegun
from igrpo.runs.command import recipe
from igrpo.runs.evaluation_directory import EvaluationDirectory, EvaluationResults
from igrpo.runs.lifecycle import EXIT_INTERRUPTED, Ending, RunError, SignalHandlers, Terminated
from igrpo.runs.log_file import FILE_ONLY, run_log
from igrpo.runs.run_lock import RunDirectoryLockedError, run_lock
from igrpo.tools.evaluating.request import Request

log = logging.getLogger(__name__)


def new_directory(request: Request, chosen: Path | None) -> EvaluationDirectory:
    """Create the directory of a new evaluation: ``chosen``, or evals/DATE/TIME_NAME.

    Raises:
        ConfigError: it contains files, or cannot be created.
    """
    now = datetime.now()  # noqa: DTZ005 - local time, as the directories of runs
    wanted = Path("evals") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}_{request.name}" if chosen is None else chosen
    return EvaluationDirectory(claim(wanted, chosen=chosen is not None, setting="--out"))


def execute(request: Request, directory: EvaluationDirectory) -> EvaluationResults:
    """Evaluate, and say how it ended if it did not finish.

    Raises:
        RunError: the evaluation failed, or paused at a limit; the reason was printed, and a traceback is in its log.
        Terminated: Ctrl-C or a signal stopped it; how to resume was printed.
    """
    try:
        return attempt(request, directory)
    except BaseException as error:
        ending = Ending.of(error)
        print(f"igrpo: {ending_message(ending, directory)}", file=sys.stderr)
        if ending.kind == "stopped":
            raise Terminated(ending.exit_code - 128) from None
        raise RunError(ending.reason, ending.exit_code) from None


def attempt(request: Request, directory: EvaluationDirectory) -> EvaluationResults:
    """Evaluate with a lock and a log, and log how it ended. An error is raised as it is.

    An evaluation that ended before it began, with a reason that is clear without a log, leaves no directory.
    """
    try:
        with run_lock(directory.path), run_log(directory.path), SignalHandlers():
            try:
                import_evaluation()
                from igrpo.tools.evaluating.evaluation import evaluate

                return evaluate(request, directory)
            except BaseException as error:
                ending = Ending.of(error)
                failed = ending.kind in {"failed", "lost"}
                level = logging.ERROR if failed else logging.WARNING
                log.log(level, "%s: %s", ending.kind, ending.reason, extra={FILE_ONLY: True}, exc_info=failed)
                raise
    except (ValueError, KeyboardInterrupt, Terminated) as error:
        if not directory.exists and not isinstance(error, RunDirectoryLockedError):
            remove_unbegun(directory.path)
        raise
    finally:
        remove_if_empty(directory.path)


def import_evaluation() -> None:
    """Import what an evaluation needs: torch and transformers, which takes seconds at the first call."""
    name = "igrpo.tools.evaluating.evaluation"
    if name not in sys.modules:
        with waiting("importing torch and transformers", lines=True), quick_imports():
            import_module(name)


def ending_message(ending: Ending, directory: EvaluationDirectory) -> str:
    """Return a message about the end of an evaluation that did not finish: the reason, and how to resume it."""
    resume = f"igrpo eval {shlex.quote(f'resume={shown_path(directory.path)}')}"
    if ending.kind == "paused":
        return f"paused: {ending.reason}{recipe(resume, f'{ending.setting}=MORE')}"
    if ending.kind != "stopped":
        kept = f"\n  its samples are kept{recipe(resume)}" if directory.exists else ""
        details = f"\n  details: {shown_path(directory.log)}" if directory.log.exists() else ""
        return f"{ending.reason}{details}{kept}"
    word = "interrupted" if ending.exit_code == EXIT_INTERRUPTED else "stopped"
    if not directory.exists:
        return f"{word}; nothing was sampled yet, so start it again with the same command"
    return f"{word}{recipe(resume)}\n  all samples that were done are kept"
