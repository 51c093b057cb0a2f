"""Execution of a training run, from its configuration to its summary."""

from __future__ import annotations

import logging
import warnings
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, Literal

import lightning
import torch

from igrpo import assembly
from igrpo.config import RunConfig, config_values
from igrpo.data.module import QuestionDataModule
from igrpo.distributed import from_main, is_main, main_first
from igrpo.evaluation.result import EvaluationResult
from igrpo.files import write_json_atomic
from igrpo.metrics.alarms import Alarms
from igrpo.models.load import reference_copy
from igrpo.runs.console import get_console
from igrpo.runs.fingerprinting import Splits, record_fingerprints, unchanged_splits
from igrpo.runs.fingerprints import run_date
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.mlflow_run import RunLogger
from igrpo.runs.recorder import RunRecorder
from igrpo.runs.rollout_log import RolloutLog
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.run_tracking import run_tags, tracking_uri, ways_to_run
from igrpo.runs.stale import repair_stale_runs
from igrpo.runs.summary import Summary
from igrpo.runs.sweep_directory import sweep_of
from igrpo.runs.tracked import tracked
from igrpo.runs.tracker import Tracker
from igrpo.training.checkpoints import Checkpoint, CheckpointCallback, FileCheckpointIO, forget_after, newest_checkpoint
from igrpo.training.evaluation_callback import EvaluationCallback, Split
from igrpo.training.first_evaluation import tell_draft_worth
from igrpo.training.module import IGRPOModule
from igrpo.training.progress import ProgressCallback
from igrpo.training.signals import OwnSigterm
from igrpo.training.stopping import StoppingRule
from igrpo.training.strategies import build_strategy

log = logging.getLogger(__name__)

# Lightning's messages about its setup would interrupt the progress bar. Its warnings are kept, except two that do not
# apply: the policy is in eval mode on purpose (no dropout), and the other is about Lightning's own code.
for _name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.WARNING)
for _text in (r".*module\(s\) in eval mode", r".*LeafSpec.* is deprecated"):
    warnings.filterwarnings("ignore", message=_text)

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
    torch.set_num_threads(config.trainer.threads)
    directory = RunDirectory(run_dir)
    if not is_main():
        today, checkpoint = from_main((date.min, _NO_CHECKPOINT))
        _fit(config, directory, None, checkpoint, today=today, resume=resume)
        return {}
    repair_stale_runs(config.tracking.uri, [run_dir.parent])
    with directory.acquire():
        splits = unchanged_splits(config, directory) if resume else None
        directory.save_config(config_values(config))
        checkpoint = newest_checkpoint(directory.checkpoints) if resume else None
        directory.begin()
        log.info("%s in %s", "resumed" if resume else "started", directory.path)
        sweep, cell = sweep_of(run_dir) or (None, None)
        tracker = Tracker(
            directory,
            tracking_uri=tracking_uri(config, directory, resume=resume),
            experiment=config.tracking.experiment,
            run_name=config.run_name if cell is None else cell.name,
            tags=run_tags(config),
            swept={} if cell is None else cell.swept,
            parent_run_id=None if sweep is None else sweep.mlflow_run_id,
            resume_step=None if not resume else _last_kept_step(checkpoint),
        )
        with tracked(tracker, directory):
            tracker.log_params(config_values(config))
            today, checkpoint = from_main((run_date(directory), checkpoint))
            summary = _fit(config, directory, tracker, checkpoint, today=today, resume=resume, splits=splits)
            assert summary is not None
            log.info("finished: %s", summary.model_dump_json(exclude={"versions"}))
    return summary.model_dump(mode="json") | {"tracking": ways_to_run(tracker)}


def _parts(config: RunConfig, directory: RunDirectory, closing: ExitStack, today: date) -> assembly.Parts:
    with main_first():
        policy = assembly.build_policy(config, get_console())
    prompts = assembly.build_prompts(config.prompt, policy.tokenizer, today)
    assembly.check_lengths(config, policy.model, prompts)
    if config.trainer.strategy != "fsdp2":  # shards are moved when they are made: the model may not fit
        policy.model.to(assembly.build_device(config.trainer))
    reward = assembly.build_reward(config.reward, directory.failures, directory.judge_ledger, today=today)
    closing.callback(reward.close)
    engine = assembly.build_engine(config, policy, prompts, directory.path)
    closing.callback(engine.close)
    return assembly.Parts(policy, engine, reward, prompts)


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
    with ExitStack() as closing:
        splits = assembly.read_splits(config) if splits is None else splits
        parts = _parts(config, directory, closing, today)
        source = assembly.fitting_source(config, parts.prompts, splits)
        if tracker is not None:
            step = checkpoint.step if checkpoint is not None else 0 if resume else None
            kept = record_fingerprints(config, directory, parts, splits, step)
            tracker.set_tags({f"igrpo.fingerprint.{part}": text for part, text in kept.short().items()})
        if source.decontamination is not None and is_main():
            write_json_atomic(directory.path / "decontamination.json", source.decontamination.as_dict())
        data = QuestionDataModule(source, config.seed, config.trainer.questions_per_step, config.trainer.steps)
        policy = parts.policy
        module = IGRPOModule(
            policy.model,
            reference_copy(policy.model) if config.objective.kl_beta > 0 else None,
            assembly.build_collector(config, parts, assembly.build_dynamic_sampling(config, data)),
            objective=config.objective,
            correction=config.correction,
            trainer=config.trainer,
            stopping=StoppingRule(config.trainer.steps, config.budget),
            pad_id=policy.tokenizer.pad_token_id,
            transfer=config.transfer,
            entropies=assembly.build_entropy_meter(config, parts),
            weight_sync_check=assembly.build_weight_sync_check(config, parts, source.development[0]),
        )
        recorder = None if tracker is None else _recorder(config, directory, tracker, module)
        module.alarms = None if recorder is None else _alarms(config, directory, recorder)
        if checkpoint is not None:
            data.start_step = checkpoint.step
        if resume and recorder is not None:
            _begin_again(config, directory, recorder, checkpoint)
        device = assembly.build_device(config.trainer)
        trainer = lightning.Trainer(
            accelerator=device.type,
            devices=config.trainer.devices,
            num_nodes=config.trainer.nodes,
            strategy=build_strategy(config.trainer, device),
            precision=_precision(config),
            max_epochs=1,
            logger=False if tracker is None else RunLogger(tracker),
            callbacks=_callbacks(config, directory, recorder, parts, source),
            plugins=FileCheckpointIO(),
            default_root_dir=directory.path,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        trainer.fit(module, data, ckpt_path=None if checkpoint is None else checkpoint.path, weights_only=True)
        assert module.is_last, "a run that ended early is not finished"
        if recorder is None:
            return None
        if module.budget.trained_tokens == 0:
            log.warning("no group ever had a reward to learn from: no update was made, and nothing was learned")
        return recorder.write_summary(module.rollout_step)


def _precision(config: RunConfig) -> Literal["32-true", "bf16-mixed"]:
    """Return Lightning's precision. Shards set their own precision (see `training.strategies.shard`)."""
    return "bf16-mixed" if config.trainer.precision == "bf16" and config.trainer.strategy != "fsdp2" else "32-true"


def _begin_again(
    config: RunConfig, directory: RunDirectory, recorder: RunRecorder, checkpoint: Checkpoint | None
) -> None:
    """Drop the records of steps after the checkpoint."""
    recorder.forget_after(_last_kept_step(checkpoint))
    if checkpoint is None:
        log.warning("%s has no checkpoint yet: starting from the beginning", directory.path)
        return
    forget_after(directory.checkpoints, checkpoint.step)
    get_console().print(f"resuming after step {checkpoint.step} of {config.trainer.steps}")


def _recorder(config: RunConfig, directory: RunDirectory, tracker: Tracker, module: IGRPOModule) -> RunRecorder:
    rollouts = RolloutLog(
        directory.rollouts,
        steps_per_file=config.tracking.rollout_steps_per_file,
        keep_files=config.tracking.rollout_files_kept,
    )
    module.recorder = RunRecorder(directory, tracker, rollouts, config, module.budget)
    return module.recorder


def _alarms(config: RunConfig, directory: RunDirectory, recorder: RunRecorder) -> Alarms:
    """Build the alarms, and load the metrics of a resumed run, which the tracker has truncated to the checkpoint."""
    alarms = Alarms(config.alarms, recorder.set_alarm)
    alarms.remember(read_metrics(directory.metrics))
    return alarms


def _callbacks(
    config: RunConfig,
    directory: RunDirectory,
    recorder: RunRecorder | None,
    parts: assembly.Parts,
    source: assembly.FittingSource,
) -> list[lightning.Callback]:
    """Build the callbacks in the order of a step: evaluate, save (needs the accuracy to find the best), print."""
    progress = ProgressCallback(get_console(), config.trainer.steps)
    checkpoints = CheckpointCallback(directory.checkpoints, config.checkpoint)

    def report(step: int, split: Split, result: EvaluationResult) -> None:
        assert recorder is not None
        recorder.record_evaluation(step, split, result)
        if split == "development" and step == 0:
            tell_draft_worth(result, config, get_console(), recorder.set_alarm)
        if split == "development" and result.single_shot is not None:
            progress.report_accuracy(step, result.single_shot.value)
            checkpoints.report_accuracy(step, result.single_shot.value)

    def is_done(step: int, split: Split) -> bool:
        return recorder is not None and recorder.has_evaluation(step, split)

    development = assembly.build_evaluator(config, source.development, parts)
    final = {"test": assembly.build_evaluator(config, source.test, parts)} | {
        name: assembly.build_benchmark_evaluator(config, name, questions, parts)
        for name, questions in source.benchmarks.items()
    }
    evaluation = EvaluationCallback(development, final, report, is_done, every=config.evaluation.every)
    return [OwnSigterm(), evaluation, checkpoints, *([] if recorder is None else [progress])]


def _last_kept_step(checkpoint: Checkpoint | None) -> int:
    """Return the step of the checkpoint, after which all measurements are dropped; -1 (drop all) without one."""
    return -1 if checkpoint is None else checkpoint.step
