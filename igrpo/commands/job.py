"""One run, from its checked settings to its summary, and how each of its endings is told."""

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

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from igrpo.commands.console import print_facts, print_summary, print_tree
from igrpo.commands.run_dir import FILE_ONLY, LOG_FILE, run_log
from igrpo.config import RunConfig
from igrpo.config.facts import resolved_facts
from igrpo.hydra_support import resolvers
from igrpo.hydra_support.checking import checked
from igrpo.tracking.sweep_directory import SweepDirectory

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM

# A launcher that starts processes of its own imports this module there before it resolves a job's settings.
resolvers.register()


class RunError(RuntimeError):
    """A run ended by an error that was told and logged already."""


def hydra_job(settings: DictConfig) -> float | None:
    """What Hydra calls for each run; returns what a search maximises."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        from igrpo.commands.cell import run_cell

        return run_cell(settings, hydra)
    config = checked(settings)
    print_tree(config)
    try:
        execute(config, Path(hydra.runtime.output_dir), resume=False)
    except RunError:
        raise SystemExit(EXIT_FAILED) from None  # an Exception would make Hydra print a line of its own
    return None


def execute(config: RunConfig, run_dir: Path, *, resume: bool, brief: bool = False) -> Mapping[str, Any] | None:
    """Train in ``run_dir`` and show the result; ``brief`` leaves out what the table of a sweep says anyway.

    Raises:
        RunError: training failed; the user was told, the traceback is in the run's log.
        KeyboardInterrupt, SystemExit: the run was stopped; the user was told how to go on.
    """
    if not brief:
        print_facts(resolved_facts(config))
    with run_log(run_dir), terminate_by_exception():
        try:
            from igrpo.training_run import train

            summary: Mapping[str, Any] | None = train(config, run_dir, resume=resume)
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning turns Ctrl-C into sys.exit(1), raised while it handles the KeyboardInterrupt
            interrupted = isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)
            _tell(f"{'interrupted' if interrupted else 'stopped'}; go on with: {resume_command(run_dir)}")
            if interrupted:
                raise KeyboardInterrupt from None
            raise
        except Exception as error:
            log.exception("the run failed", extra={FILE_ONLY: True})
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            _tell(f"{kind}{error}\n  the whole story: {run_dir / LOG_FILE}")
            raise RunError(str(error)) from None
    if summary is not None and not brief:
        tracking = summary.get("tracking") or {}
        print_summary(summary, run_dir, tracking.get("ui_command"), tracking.get("run_link"))
    return summary


@contextmanager
def terminate_by_exception() -> Iterator[None]:
    """SIGTERM unwinds the stack like Ctrl-C does, so that files are closed and the run's status is written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(EXIT_TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(message: str) -> None:
    print(f"igrpo: {message}", file=sys.stderr)


def resume_command(run_dir: Path) -> str:
    """How to go on with a run, or with the sweep that it belongs to."""
    directory = run_dir.parent if SweepDirectory(run_dir.parent).exists else run_dir
    return f"igrpo train {shlex.quote(f'resume={directory}')}"
