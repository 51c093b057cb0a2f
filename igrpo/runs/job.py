"""Execution of one run from its checked settings to its summary, with a message for each way it can end."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from igrpo.config import RunConfig
from igrpo.config.facts import resolved_facts
from igrpo.rewards.base import RewardPausedError
from igrpo.runs.claim import FILE_ONLY, LOG_FILE, run_log
from igrpo.runs.printing import print_facts, print_summary
from igrpo.runs.ranks import RanksError, train_in_processes
from igrpo.runs.resume import steps_behind
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import SweepDirectory

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_PAUSED = 75  # EX_TEMPFAIL of sysexits.h: not a failure, can be resumed with a higher limit


class RunError(RuntimeError):
    """A run failed; the error was already printed and logged."""

    code = EXIT_FAILED


class RunPausedError(RunError):
    """A run stopped at a limit and can be resumed with a higher one; this was already printed."""

    code = EXIT_PAUSED


def execute(config: RunConfig, run_dir: Path, *, resume: bool, brief: bool = False) -> Mapping[str, Any] | None:
    """Train in ``run_dir`` and print the result. ``brief`` omits what the table of a sweep shows.

    Raises:
        RunPausedError: a limit was reached within a step; how to resume was printed.
        RunError: training failed; the error was printed, and the traceback is in the run's log.
        KeyboardInterrupt, SystemExit: the run was stopped; how to resume was printed.
    """
    if not brief:
        print_facts(resolved_facts(config))
    with run_log(run_dir), terminate_by_exception():
        try:
            summary: Mapping[str, Any] | None = _train(config, run_dir, resume=resume)
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning turns Ctrl-C into sys.exit(1), raised while it handles the KeyboardInterrupt
            interrupted = isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)
            word = "interrupted" if interrupted else "stopped"
            log.warning("%s", word, extra={FILE_ONLY: True})
            _tell(f"{word}; {_how_to_go_on(config, run_dir)}")
            if interrupted:
                raise KeyboardInterrupt from None
            raise
        except RewardPausedError as pause:
            log.warning("paused: %s", pause, extra={FILE_ONLY: True})
            more = shlex.quote(f"resume={run_dir}")
            _tell(f"paused: {pause}; go on with: igrpo train {more} {pause.setting}=MORE")
            raise RunPausedError(str(pause)) from None
        except Exception as error:
            log.exception("the run failed", extra={FILE_ONLY: True})
            kind = "" if isinstance(error, ValueError | RanksError) else f"{type(error).__name__}: "
            _tell(f"{kind}{error}\n  the whole story: {run_dir / LOG_FILE}")
            raise RunError(str(error)) from None
    if summary is not None and not brief:
        tracking = summary.get("tracking") or {}
        print_summary(summary, run_dir, tracking.get("ui_command"), tracking.get("run_link"))
    return summary


def _train(config: RunConfig, run_dir: Path, *, resume: bool) -> Mapping[str, Any]:
    if config.processes > 1:
        return train_in_processes(config, run_dir, resume=resume)
    from igrpo.runs.training_run import train

    return train(config, run_dir, resume=resume)


@contextmanager
def terminate_by_exception() -> Iterator[None]:
    """Raise SystemExit on SIGTERM and SIGHUP, so that files are closed and the run's status is written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    taken = [number for number in before if before[number] is not signal.SIG_IGN]  # nohup ignores SIGHUP
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def _tell(message: str) -> None:
    print(f"igrpo: {message}", file=sys.stderr)


def _how_to_go_on(config: RunConfig, run_dir: Path) -> str:
    """Return the command that resumes a stopped run, and the step it continues from, as text."""
    in_sweep = SweepDirectory(run_dir.parent).exists
    if not in_sweep and not RunDirectory(run_dir).config.is_file():
        return "it had not begun, so there is nothing to resume: give the same command again"
    return f"go on with: {resume_command(run_dir)}\n  {where_it_goes_on(config, run_dir)}"


def where_it_goes_on(config: RunConfig, run_dir: Path) -> str:
    """Describe the step that a stopped run continues from."""
    every = f"checkpoint.every={config.checkpoint.every}"
    step = steps_behind(run_dir)
    if step == 0:
        return f"it has no checkpoint yet ({every}) and will begin again"
    return f"it goes on after step {step}, its newest checkpoint ({every}); what came later is done again"


def resume_command(run_dir: Path) -> str:
    """Return the command that resumes a run, or the sweep that it belongs to."""
    directory = run_dir.parent if SweepDirectory(run_dir.parent).exists else run_dir
    return f"igrpo train {shlex.quote(f'resume={directory}')}"
