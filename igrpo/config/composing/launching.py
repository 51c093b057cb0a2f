"""Launching of jobs with Hydra's launchers and sweepers, bypassing ``Hydra.multirun``.

``Hydra.multirun`` numbers the jobs of each call from 0. A resumed sweep needs the original numbers, since it launches
the rest of the same list.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf


def launch_jobs(
    hydra: Hydra, name: str, overrides: Sequence[str], jobs: Sequence[Sequence[str]], task: TaskFunction
) -> list[str]:
    """Run the jobs (the overrides of each) with the launcher of ``overrides``.

    Returns the errors that tasks raised, or the launcher's own if it gave up (if a worker was killed, say).
    """
    with _multirun(hydra, name, overrides) as (master, context):
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=master)
        try:
            returned = launcher.launch([list(job) for job in jobs], initial_job_idx=0)
        except Exception as error:  # launchers' libraries raise any type
            return [f"the launcher gave up ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"]
    return [raised for job in returned if (raised := _error_of(job)) is not None]


def run_search(hydra: Hydra, name: str, overrides: Sequence[str], task: TaskFunction, first: int) -> None:
    """Run the sweeper that ``overrides`` choose (hydra-optuna-sweeper); its jobs are numbered from ``first`` on."""
    logging.getLogger("hydra_plugins.hydra_optuna_sweeper").setLevel(
        logging.ERROR
    )  # a failed trial has reported itself
    with _multirun(hydra, name, overrides) as (master, context):
        sweeper: Any = Plugins.instance().instantiate_sweeper(config=master, hydra_context=context, task_function=task)
        if first:
            sweeper.sweeper.job_idx = first
        sweeper.sweep(arguments=OmegaConf.to_container(master.hydra.overrides.task, resolve=False))


def is_serial(launcher: str) -> bool:
    """Return True if a launcher of this class runs its jobs sequentially in the calling process."""
    return launcher.endswith(".BasicLauncher")


@contextmanager
def _multirun(hydra: Hydra, name: str, overrides: Sequence[str]) -> Iterator[tuple[DictConfig, HydraContext]]:
    """Compose the sweep, and call the user's hydra.callbacks at its start and end."""
    master = hydra.compose_config(
        name, [*overrides, "hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN, with_log_configuration=False
    )
    callbacks = Callbacks(master)
    callbacks.on_multirun_start(config=master, config_name=name)
    try:
        yield master, HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    finally:
        callbacks.on_multirun_end(config=master, config_name=name)


def _error_of(job: JobReturn) -> str | None:
    """Return the error that a job's task raised; None if it returned."""
    if job.status is JobStatus.COMPLETED:
        return None
    try:
        job.return_value  # noqa: B018 - the property raises it
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"it ended as {job.status}"
