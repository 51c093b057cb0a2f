"""Training from Python: `igrpo train` as a function."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from igrpo.api.run import Run
from igrpo.api.settings import check_list
from igrpo.config import ConfigError, RunConfig
from igrpo.runs.console import get_console


def train(
    config: RunConfig | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | Run | None = None,
    overrides: Sequence[str] = (),
    quiet: bool = False,
) -> Run:
    """Train a model in this process, as `igrpo train` does, and return the run.

    The numbers are those of the command line: on the CPU they are equal bit by bit. While it trains, torch uses
    ``trainer.threads`` threads; afterwards as many as before. With several processes (``trainer.devices``), igrpo
    starts these. Works in a notebook and outside the main thread (where signals do not reach it).

    Args:
        config: settings, from `compose` or `grid`. None: those of the run to ``resume``.
        directory: directory of the run, which must be empty or not exist. None: runs/DATE/TIME_NAME.
        resume: directory of a run to resume, or the run. One that has finished is returned as it is.
        overrides: settings that change when a run is resumed, such as ``["trainer.steps=200"]``.
        quiet: print nothing. Warnings are in the run's log.txt.

    Raises:
        ConfigError: the settings cannot be run here, or the arguments contradict each other; nothing was started.
        KeyboardInterrupt: Ctrl-C, or the notebook's stop button, ended the run: ``igrpo.train(resume=DIRECTORY)``
            continues from the newest checkpoint.
        ValueError: the settings do not fit the model or the data.
        RewardPausedError: a limit of the reward is reached; the run can be resumed with a higher one.
    """
    _check_arguments(config, directory, resume, overrides)
    if resume is not None:
        return _resumed(Path(resume).absolute(), overrides, quiet=quiet)
    assert config is not None
    from igrpo.runs.claim import claim, remove_if_empty
    from igrpo.runs.resume import require_files

    require_files([config])
    wanted = _default_directory(config) if directory is None else Path(directory)
    path = claim(wanted, chosen=directory is not None, setting="directory")
    try:
        return _trained(config, path, resume=False, quiet=quiet)
    except ConfigError:
        remove_if_empty(path)
        raise


def _check_arguments(
    config: object | None, directory: object | None, resume: object | None, overrides: Sequence[str]
) -> None:
    check_list(overrides, "igrpo.train")
    problems = []
    if config is None and resume is None:
        problems.append("give the settings (igrpo.compose), or resume=DIRECTORY")
    elif config is not None and not isinstance(config, RunConfig):
        problems.append(f"config={config!r}: give settings from igrpo.compose, such as igrpo.compose('quickstart')")
    if resume is not None and (config is not None or directory is not None):
        problems.append("resume: a run is resumed with its own settings in its own directory; leave out the others")
    if resume is None and overrides:
        problems.append("overrides: they are for resume=DIRECTORY; give the settings of a new run to igrpo.compose")
    if problems:
        raise ConfigError(problems, "igrpo.train")


def _default_directory(config: RunConfig) -> Path:
    """Return the directory of a run as ``hydra.run.dir`` in conf/train.yaml names it."""
    now = datetime.now()  # noqa: DTZ005 - local time, as Hydra's ${now:...}
    return Path("runs") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}_{config.run_name}"


def _resumed(run_dir: Path, overrides: Sequence[str], *, quiet: bool) -> Run:
    from igrpo.runs.resume import finished_summary, has_begun, require_files, resumed_config

    if not run_dir.is_dir():
        raise ConfigError([f"resume={run_dir}: there is no such directory"], "igrpo.train")
    config = resumed_config(run_dir, overrides)
    if finished_summary(run_dir, config) is not None:
        return Run(run_dir, config)
    require_files([config])
    return _trained(config, run_dir, overrides, resume=has_begun(run_dir), quiet=quiet)


def _trained(config: RunConfig, path: Path, overrides: Sequence[str] = (), *, resume: bool, quiet: bool) -> Run:
    from igrpo.runs.command import API, as_command
    from igrpo.runs.execution import attempt, ending_message, import_training
    from igrpo.runs.lifecycle import Ending
    from igrpo.runs.printing import print_settings, print_summary

    with quiet_console(quiet=quiet):
        print_settings(config, path)
        warnings.filterwarnings("ignore", message="IProgress not found")  # of tqdm in a notebook: igrpo has no such bar
        frozen = gc.get_freeze_count()
        import_training()
        if not frozen:  # imports for the command line freeze all objects, also those of the caller
            gc.unfreeze()
        try:
            with as_command((API, *([f"resume={path}"] if resume else []), *overrides)):
                summary = attempt(config, path, resume=resume)
        except BaseException as error:
            ending = Ending.of(error)
            if ending.kind not in {"stopped", "paused"}:
                raise
            if not quiet:
                print(f"igrpo: {ending_message(ending, config, path)}", file=sys.stderr)
            if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None  # Lightning ends the process instead
            raise
        links = summary.get("tracking") or {}
        print_summary(summary, path, links.get("ui_command"), links.get("run_link"))
    return Run(path, config)


@contextmanager
def quiet_console(*, quiet: bool) -> Iterator[None]:
    """Print nothing in the block, if ``quiet``."""
    console = get_console()
    before = console.quiet
    console.quiet = before or quiet
    try:
        yield
    finally:
        console.quiet = before
