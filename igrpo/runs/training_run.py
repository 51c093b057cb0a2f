"""Execution of a training run, from its configuration to its summary."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from igrpo import assembly
from igrpo.config import RunConfig, config_values
from igrpo.distributed import from_main, is_main
from igrpo.files import write_json_atomic
from igrpo.runs.building import build_callbacks, build_parts, build_recorder, build_trainer
from igrpo.runs.console import get_console, waiting
from igrpo.runs.description import describe, describe_result, told_name
from igrpo.runs.fingerprinting import Splits, record_fingerprints, unchanged_splits
from igrpo.runs.fingerprints import run_date
from igrpo.runs.first_results import first_results
from igrpo.runs.lifecycle import RunLifecycle, run_lifecycle
from igrpo.runs.mlflow_datasets import dataset_inputs
from igrpo.runs.recorder import RunRecorder
from igrpo.runs.run_directory import RunDirectory, RunStatus
from igrpo.runs.run_tracking import mlflow_links, origin_tags, run_tags, tracking_uri
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.summary import Summary
from igrpo.runs.sweep_directory import sweep_of
from igrpo.runs.tracker import Tracker
from igrpo.threads import torch_threads
from igrpo.training.checkpoints import Checkpoint, forget_after, newest_checkpoint

log = logging.getLogger(__name__)

_NO_CHECKPOINT: Checkpoint | None = None


def train(config: RunConfig, run_dir: Path, *, resume: bool) -> dict[str, Any]:
    """Train in ``run_dir`` and return the content of its summary.json.

    With ``resume``, the run continues from its newest complete checkpoint, or from the start if it has none.
    With several processes, all call this. The main process writes the directory; the others return an empty dict.

    Raises:
        ValueError: the settings do not fit the model or the data, another process has locked the directory, or the
            questions of a run to resume have changed.
        NonFiniteError, RewardError, WeightSyncError, DiskFullError: the run was stopped by this error; its data is
            kept.
    """
    with torch_threads(config.trainer.threads):
        return _train(config, RunDirectory(run_dir), resume=resume)


def _train(config: RunConfig, directory: RunDirectory, *, resume: bool) -> dict[str, Any]:
    if not is_main():
        today, checkpoint = from_main((date.min, _NO_CHECKPOINT))
        _fit(config, directory, None, checkpoint, today=today, resume=resume)
        return {}
    repair_stale_runs(config.tracking.uri, [directory.path.parent])
    with run_lifecycle(directory) as run:
        splits = unchanged_splits(config, directory) if resume else None
        directory.save_config(config_values(config))
        checkpoint = newest_checkpoint(directory.checkpoints) if resume else None
        run.begin()
        log.info("%s in %s", "resumed" if resume else "started", directory.path)
        with waiting("opening MLflow", lines=True):
            tracker = _tracker(config, run, checkpoint, resume=resume)
        tracker.log_params(config_values(config))
        today, checkpoint = from_main((run_date(directory), checkpoint))
        summary = _fit(config, directory, tracker, checkpoint, today=today, resume=resume, splits=splits)
        assert summary is not None
        tracker.describe(_description(config, directory), describe_result(summary))
        log.info("finished: %s", summary.model_dump_json(exclude={"versions"}))
    return summary.model_dump(mode="json") | {"tracking": mlflow_links(tracker)}


def _tracker(config: RunConfig, run: RunLifecycle, checkpoint: Checkpoint | None, *, resume: bool) -> Tracker:
    sweep, cell = sweep_of(run.directory.path) or (None, None)
    record = run.directory.read_record()
    tracker = Tracker(
        run.directory,
        tracking_uri=tracking_uri(config, run.directory, resume=resume),
        experiment=config.tracking.experiment,
        run_name=told_name(config, record.given) if cell is None else cell.name,
        tags=run_tags(config) | origin_tags(record.command),
        swept={} if cell is None else cell.swept,
        parent_run_id=None if sweep is None else sweep.mlflow_run_id,
        resume_step=None if not resume else _last_kept_step(checkpoint),
    )

    def close(status: RunStatus) -> None:
        with waiting("sending the last measurements to MLflow", lines=True):
            tracker.close(status)

    run.on_end(close)
    tracker.describe(_description(config, run.directory))
    return tracker


def _description(config: RunConfig, directory: RunDirectory) -> str:
    sweep = sweep_of(directory.path)
    return describe(config, None if sweep is None else sweep[0].title(directory.path.parent))


def _fit(
    config: RunConfig,
    directory: RunDirectory,
    tracker: Tracker | None,
    checkpoint: Checkpoint | None,
    *,
    today: date,
    resume: bool,
    splits: Splits | None = None,
) -> Summary | None:
    """Train the model. Only the main process has a ``tracker`` and returns a summary."""
    with ExitStack() as closing, ExitStack() as preparing:
        preparing.enter_context(waiting("preparing the run", lines=True))
        splits = assembly.read_splits(config) if splits is None else splits
        parts = build_parts(config, directory, closing, today)
        source = assembly.fitting_source(config, parts.prompts, splits)
        first = None
        if tracker is not None:
            step = checkpoint.step if checkpoint is not None else 0 if resume else None
            kept = record_fingerprints(config, directory, parts, splits, step)
            tracker.log_datasets(dataset_inputs(config, kept.questions))
            first = first_results(config, parts, kept)
        if source.decontamination is not None and is_main():
            write_json_atomic(directory.path / "decontamination.json", source.decontamination.as_dict())
        data = assembly.build_data(config, source.train)
        module = assembly.build_module(config, parts, data, source.development[0])
        recorder = None if tracker is None else build_recorder(config, directory, tracker, module)
        if checkpoint is not None:
            data.start_step = checkpoint.step
        if resume and recorder is not None:
            _forget_lost_steps(config, directory, recorder, checkpoint)
        callbacks = build_callbacks(config, directory, recorder, parts, source, first=first)
        trainer = build_trainer(config, directory, tracker, callbacks)
        preparing.close()
        trainer.fit(module, data, ckpt_path=None if checkpoint is None else checkpoint.path, weights_only=True)
        assert module.is_last, "a run that ended early is not finished"
        if recorder is None:
            return None
        if module.budget.trained_tokens == 0:
            log.warning("no group ever had a reward to learn from: no update was made, and nothing was learned")
        return recorder.write_summary(module.rollout_step)


def _forget_lost_steps(
    config: RunConfig, directory: RunDirectory, recorder: RunRecorder, checkpoint: Checkpoint | None
) -> None:
    """Drop the records of steps after the checkpoint."""
    recorder.forget_after(_last_kept_step(checkpoint))
    if checkpoint is None:
        log.warning("%s has no checkpoint yet: starting from the beginning", directory.path)
        return
    forget_after(directory.checkpoints, checkpoint.step)
    get_console().print(f"resuming after step {checkpoint.step} of {config.trainer.steps}")


def _last_kept_step(checkpoint: Checkpoint | None) -> int:
    """Return the step of the checkpoint, after which all measurements are dropped; -1 (drop all) without one."""
    return -1 if checkpoint is None else checkpoint.step
