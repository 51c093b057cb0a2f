"""A run from its configuration to its summary: the order in which parts are made, used and closed."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning
import torch
from platformdirs import user_cache_path
from rich.console import Console

from igrpo import build
from igrpo.config import RunConfig, config_values
from igrpo.data.module import QuestionDataModule
from igrpo.evaluation.result import EvaluationResult
from igrpo.policy.load import reference_copy
from igrpo.tracking.links import run_link, ui_command
from igrpo.tracking.mlflow_run import RunLogger
from igrpo.tracking.recorder import RunRecorder
from igrpo.tracking.rollout_log import RolloutLog
from igrpo.tracking.run_directory import RunDirectory
from igrpo.tracking.stale import repair_stale_runs
from igrpo.tracking.tracked import tracked
from igrpo.tracking.tracker import Tracker
from igrpo.training.checkpoints import Checkpoint, CheckpointCallback, newest_checkpoint
from igrpo.training.evaluation_callback import EvaluationCallback, Split
from igrpo.training.module import IGRPOModule
from igrpo.training.progress import ProgressCallback

log = logging.getLogger(__name__)


def train(config: RunConfig, run_dir: Path, *, resume: bool) -> dict[str, Any]:
    """Train in ``run_dir`` and return the content of its summary.json.

    With ``resume`` the run goes on from its newest whole checkpoint (from the start where it died before the first).

    Raises:
        ValueError: settings that do not go with the model or the data, or a directory that another process holds.
        NonFiniteError, RewardError, DiskFullError: what stopped the run; its data is kept.
    """
    torch.set_num_threads(config.trainer.threads)
    directory = RunDirectory(run_dir)
    with directory.acquire(), ExitStack() as closing:
        repair_stale_runs(config.tracking.uri, [run_dir])
        checkpoint = newest_checkpoint(directory.checkpoints) if resume else None
        directory.begin()
        tracker = Tracker(
            directory,
            tracking_uri=config.tracking.uri,
            experiment=config.tracking.experiment,
            run_name=config.run_name,
            tags={"algorithm": config.algorithm.name, "objective": config.objective.name, "seed": str(config.seed)},
            resume_step=None if not resume else 0 if checkpoint is None else checkpoint.step,
        )
        with tracked(tracker, directory):
            tracker.log_params(config_values(config))
            tracker.log_artifact(directory.config)
            recorder = _fit(config, directory, tracker, checkpoint, resume, closing)
            summary = recorder.write_summary(config.trainer.steps)
            tracker.log_artifact(directory.summary)
    return summary.model_dump(mode="json") | {"tracking": _tracking(tracker)}


def _fit(
    config: RunConfig,
    directory: RunDirectory,
    tracker: Tracker,
    checkpoint: Checkpoint | None,
    resume: bool,
    closing: ExitStack,
) -> RunRecorder:
    console, steps = Console(), config.trainer.steps
    device = build.build_device(config.trainer)
    policy = build.build_policy(config.model, config.data, _cache_dir(), console)
    prompts = build.build_prompts(config.prompt, policy.tokenizer)
    build.check_lengths(config, policy.model, prompts)
    source = build.fitting_source(build.build_source(config.data), prompts, config.evaluation.questions)
    reward = build.build_reward(config.reward, directory.failures)
    closing.callback(reward.close)
    engine = build.build_engine(config.rollout, policy)
    closing.callback(engine.close)
    policy.model.to(device)

    module = IGRPOModule(
        policy.model,
        reference_copy(policy.model) if config.objective.kl_beta > 0 else None,
        build.build_collector(config, policy, engine, reward, prompts),
        objective=config.objective,
        trainer=config.trainer,
        pad_id=policy.tokenizer.pad_token_id,
    )
    rollouts = RolloutLog(
        directory.rollouts,
        steps_per_file=config.tracking.rollout_steps_per_file,
        keep_files=config.tracking.rollout_files_kept,
    )
    recorder = RunRecorder(directory, tracker, rollouts, config, module.budget)
    module.recorder = recorder
    data = QuestionDataModule(source, config.seed, config.trainer.questions_per_step, steps)
    if resume:
        data.start_step = 0 if checkpoint is None else checkpoint.step
        recorder.forget_after(data.start_step)
        if checkpoint is None:
            log.warning("%s has no checkpoint yet: starting from the beginning", directory.path)
        else:
            console.print(f"resuming after step {checkpoint.step} of {steps}")

    progress = ProgressCallback(console, steps)
    checkpoints = CheckpointCallback(
        directory.checkpoints,
        every=config.checkpoint.every,
        last_step=steps,
        keep_last=config.checkpoint.keep_last,
        keep_best=config.checkpoint.keep_best,
        minimum_free_mb=config.checkpoint.minimum_free_mb,
    )

    def report(step: int, split: Split, result: EvaluationResult) -> None:
        recorder.record_evaluation(step, split, result)
        if split == "development":
            for listener in (progress, checkpoints):
                listener.report_accuracy(step, result.single_shot.value)

    development, test = (
        build.build_evaluator(config, questions, policy, engine, reward, prompts)
        for questions in (source.development, source.test)
    )
    evaluation = EvaluationCallback(development, test, report, every=config.evaluation.every, last_step=steps)
    trainer = lightning.Trainer(
        accelerator=device.type,
        devices=1,
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[config.trainer.precision],
        max_epochs=1,
        logger=RunLogger(tracker),
        callbacks=[evaluation, checkpoints, progress],
        default_root_dir=directory.path,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data, ckpt_path=None if checkpoint is None else checkpoint.path, weights_only=True)
    return recorder


def _cache_dir() -> Path:
    given = os.environ.get("IGRPO_CACHE_DIR")
    return Path(given) if given else user_cache_path("igrpo")


def _tracking(tracker: Tracker) -> dict[str, str] | None:
    run = tracker.run
    if run is None or tracker.tracking_uri is None:
        return None
    local = not tracker.tracking_uri.startswith("http")
    base = "http://127.0.0.1:5000" if local else tracker.tracking_uri
    links = {"run_link": run_link(base, run.experiment_id, run.run_id)}
    return links | ({"ui_command": ui_command(tracker.tracking_uri)} if local else {})
