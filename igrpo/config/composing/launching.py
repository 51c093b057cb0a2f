"""Launching of jobs with Hydra's launchers, bypassing ``Hydra.multirun``.

``Hydra.multirun`` numbers the jobs of each call from 0. A resumed sweep needs the original numbers, since it launches
the rest of the same list.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, RunMode, TaskFunction


def launch_jobs(
    hydra: Hydra, name: str, overrides: Sequence[str], jobs: Sequence[Sequence[str]], task: TaskFunction
) -> list[str]:
    """Run the jobs (the overrides of each) with the launcher of ``overrides``, between the user's hydra.callbacks.

    Returns the errors that tasks raised, or the launcher's own if it gave up (if a worker was killed, say).
    """
    master = hydra.compose_config(
        name, [*overrides, "hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN, with_log_configuration=False
    )
    callbacks = Callbacks(master)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    callbacks.on_multirun_start(config=master, config_name=name)
    try:
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=master)
        try:
            returned = launcher.launch([list(job) for job in jobs], initial_job_idx=0)
        except Exception as error:  # launchers' libraries raise any type
            return [f"the launcher gave up ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"]
    finally:
        callbacks.on_multirun_end(config=master, config_name=name)
    return [raised for job in returned if (raised := _error_of(job)) is not None]


def is_serial(launcher: str) -> bool:
    """Return True if a launcher of this class runs its jobs sequentially in the calling process."""
    return launcher.endswith(".BasicLauncher")


def _error_of(job: JobReturn) -> str | None:
    """Return the error that a job's task raised; None if it returned."""
    if job.status is JobStatus.COMPLETED:
        return None
    try:
        job.return_value  # noqa: B018 - the property raises it
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"it ended as {job.status}"
