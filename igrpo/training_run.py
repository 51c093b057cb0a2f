"""A run from its configuration to its summary: the order in which parts are made, used and closed."""

from __future__ import annotations

import logging
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import lightning
import rich
import torch

from igrpo import assembly
from igrpo.config import RunConfig, config_values
from igrpo.data.module import QuestionDataModule
from igrpo.data.sources import Source
from igrpo.evaluation.result import EvaluationResult
from igrpo.policy.load import reference_copy
from igrpo.tracking.links import run_link, sqlite_path, ui_command
from igrpo.tracking.mlflow_run import RunLogger
from igrpo.tracking.recorder import RunRecorder
from igrpo.tracking.rollout_log import RolloutLog
from igrpo.tracking.run_directory import RunDirectory
from igrpo.tracking.stale import repair_stale_runs
from igrpo.tracking.summary import Summary
from igrpo.tracking.sweep_directory import sweep_of
from igrpo.tracking.tracked import tracked
from igrpo.tracking.tracker import Tracker
from igrpo.training.checkpoints import Checkpoint, CheckpointCallback, FileCheckpointIO, forget_after, newest_checkpoint
from igrpo.training.evaluation_callback import EvaluationCallback, Split
from igrpo.training.module import IGRPOModule
from igrpo.training.progress import ProgressCallback
from igrpo.training.stopping import StoppingRule

log = logging.getLogger(__name__)

# Lightning's notes on how it was set up would interrupt the progress bar; its warnings still come through, but for two
# that say nothing here: the policy is in eval mode on purpose (no dropout), and the other is about Lightning itself.
for _name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.WARNING)
for _text in (r".*module\(s\) in eval mode", r".*LeafSpec.* is deprecated"):
    warnings.filterwarnings("ignore", message=_text)

_PRECISION: dict[str, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}


def train(config: RunConfig, run_dir: Path, *, resume: bool) -> dict[str, Any]:
    """Train in ``run_dir`` and return the content of its summary.json.

    With ``resume`` the run goes on from its newest whole checkpoint (from the start where it died before the first).

    Raises:
        ValueError: settings that do not go with the model or the data, or a directory that another process holds.
        NonFiniteError, RewardError, DiskFullError: what stopped the run; its data is kept.
    """
    torch.set_num_threads(config.trainer.threads)
    directory = RunDirectory(run_dir)
    repair_stale_runs(config.tracking.uri, [run_dir.parent])
    with directory.acquire():
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
            tags=_tags(config),
            swept={} if cell is None else cell.swept,
            parent_run_id=None if sweep is None else sweep.mlflow_run_id,
            resume_step=None if not resume else _last_kept_step(checkpoint),
        )
        with tracked(tracker, directory):
            tracker.log_params(config_values(config))
            tracker.log_artifact(directory.config)
            summary = _fit(config, directory, tracker, checkpoint, resume=resume)
            log.info("finished: %s", summary.model_dump_json(exclude={"versions"}))
            tracker.log_artifact(directory.summary)
            for path in sorted(directory.evaluations.glob("test-*.json")):
                tracker.log_artifact(path, "evaluations")  # with these a report needs MLflow alone
    return summary.model_dump(mode="json") | {"tracking": _tracking(tracker)}


def _tags(config: RunConfig) -> dict[str, str]:
    """What runs are grouped by in MLflow."""
    return {
        "condition": config.condition,
        "algorithm": config.algorithm.name,
        "objective": config.objective.name,
        "seed": str(config.seed),
    }


def _parts(config: RunConfig, directory: RunDirectory, closing: ExitStack) -> assembly.Parts:
    policy = assembly.build_policy(config.model, config.data, rich.get_console())
    prompts = assembly.build_prompts(config.prompt, policy.tokenizer)
    assembly.check_lengths(config, policy.model, prompts)
    policy.model.to(assembly.build_device(config.trainer))
    reward = assembly.build_reward(config.reward, directory.failures)
    closing.callback(reward.close)
    engine = assembly.build_engine(config.rollout, policy)
    closing.callback(engine.close)
    return assembly.Parts(policy, engine, reward, prompts)


def _fit(
    config: RunConfig, directory: RunDirectory, tracker: Tracker, checkpoint: Checkpoint | None, *, resume: bool
) -> Summary:
    with ExitStack() as closing:
        parts = _parts(config, directory, closing)
        source = assembly.fitting_source(assembly.build_source(config.data), parts.prompts, config.evaluation.questions)
        data = QuestionDataModule(source, config.seed, config.trainer.questions_per_step, config.trainer.steps)
        policy = parts.policy
        module = IGRPOModule(
            policy.model,
            reference_copy(policy.model) if config.objective.kl_beta > 0 else None,
            assembly.build_collector(config, parts),
            objective=config.objective,
            trainer=config.trainer,
            stopping=StoppingRule(config.trainer.steps, config.budget),
            pad_id=policy.tokenizer.pad_token_id,
        )
        recorder = _recorder(config, directory, tracker, module)
        if resume:
            recorder.forget_after(_last_kept_step(checkpoint))
            if checkpoint is None:
                log.warning("%s has no checkpoint yet: starting from the beginning", directory.path)
            else:
                forget_after(directory.checkpoints, checkpoint.step)
                data.start_step = checkpoint.step
                rich.print(f"resuming after step {checkpoint.step} of {config.trainer.steps}")
        trainer = lightning.Trainer(
            accelerator=assembly.build_device(config.trainer).type,
            devices=1,
            precision=_PRECISION[config.trainer.precision],
            max_epochs=1,
            logger=RunLogger(tracker),
            callbacks=_callbacks(config, directory, recorder, parts, source),
            plugins=FileCheckpointIO(),
            default_root_dir=directory.path,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, data, ckpt_path=None if checkpoint is None else checkpoint.path, weights_only=True)
        assert module.is_last, "a run that ended early is not finished"
        if module.budget.trained_tokens == 0:
            log.warning("no group ever had a reward to learn from: no update was made, and nothing was learned")
        return recorder.write_summary(module.rollout_step)


def _recorder(config: RunConfig, directory: RunDirectory, tracker: Tracker, module: IGRPOModule) -> RunRecorder:
    rollouts = RolloutLog(
        directory.rollouts,
        steps_per_file=config.tracking.rollout_steps_per_file,
        keep_files=config.tracking.rollout_files_kept,
    )
    module.recorder = RunRecorder(directory, tracker, rollouts, config, module.budget)
    return module.recorder


def _callbacks(
    config: RunConfig, directory: RunDirectory, recorder: RunRecorder, parts: assembly.Parts, source: Source
) -> list[lightning.Callback]:
    """In the order in which a step passes them: evaluate, then save (the best is known by then), then show."""
    progress = ProgressCallback(rich.get_console(), config.trainer.steps)
    checkpoints = CheckpointCallback(directory.checkpoints, config.checkpoint)

    def report(step: int, split: Split, result: EvaluationResult) -> None:
        recorder.record_evaluation(step, split, result)
        if split == "development":
            progress.report_accuracy(step, result.single_shot.value)
            checkpoints.report_accuracy(step, result.single_shot.value)

    development = assembly.build_evaluator(config, source.development, parts)
    test = assembly.build_evaluator(config, source.test, parts)
    evaluation = EvaluationCallback(development, test, report, recorder.has_evaluation, every=config.evaluation.every)
    return [evaluation, checkpoints, progress]


def tracking_uri(config: RunConfig, directory: RunDirectory, *, resume: bool) -> str | None:
    """A relative database is beside where the run began, wherever it is resumed from."""
    uri = config.tracking.uri
    path = None if uri is None else sqlite_path(uri)
    if not resume or path is None or path.is_absolute():
        return uri
    return directory.read_record().mlflow_tracking_uri or uri


def _last_kept_step(checkpoint: Checkpoint | None) -> int:
    """Measurements after this step belong to weights that were lost; without a checkpoint all of them do."""
    return -1 if checkpoint is None else checkpoint.step


def _tracking(tracker: Tracker) -> dict[str, str] | None:
    run = tracker.run
    if run is None or tracker.tracking_uri is None:
        return None
    local = not tracker.tracking_uri.startswith("http")
    base = "http://127.0.0.1:5000" if local else tracker.tracking_uri
    links = {"run_link": run_link(base, run.experiment_id, run.run_id)}
    return links | ({"ui_command": ui_command(tracker.tracking_uri)} if local else {})
