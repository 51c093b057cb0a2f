"""Construction of the objects of a training run: its parts, Lightning module, trainer and callbacks."""

from __future__ import annotations

import logging
import warnings
from contextlib import ExitStack
from datetime import date
from typing import Literal

import lightning
from lightning.pytorch.callbacks import LambdaCallback

from igrpo import assembly
from igrpo.config import RunConfig
from igrpo.distributed import main_first
from igrpo.evaluation.result import EvaluationResult
from igrpo.evaluation.test_time.words import sentences
from igrpo.metrics.alarms import Alarms
from igrpo.runs.console import get_console
from igrpo.runs.lifecycle import raise_on_signals
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.mlflow_run import RunLogger
from igrpo.runs.recorder import RunRecorder
from igrpo.runs.rollout_log import RolloutLog
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import sweep_of
from igrpo.runs.test_time_table import print_test_time
from igrpo.runs.tracker import Tracker
from igrpo.runs.versions import hardware
from igrpo.training.checkpoints import CheckpointCallback, FileCheckpointIO
from igrpo.training.evaluation_callback import EvaluationCallback, FirstResults, Split
from igrpo.training.first_evaluation import report_draft_worth
from igrpo.training.module import IGRPOModule
from igrpo.training.profile import ProfileCallback
from igrpo.training.progress import ProgressCallback
from igrpo.training.strategies import build_strategy

log = logging.getLogger(__name__)

# Lightning's messages about its setup would interrupt the progress bar. Its warnings are kept, except two that do not
# apply: the policy is in eval mode on purpose (no dropout), and the other is about Lightning's own code.
for _name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.WARNING)
for _text in (r".*module\(s\) in eval mode", r".*LeafSpec.* is deprecated"):
    warnings.filterwarnings("ignore", message=_text)


def build_parts(
    config: RunConfig, directory: RunDirectory, closing: ExitStack, today: date, policy: assembly.Policy | None = None
) -> assembly.Parts:
    """Build the policy (unless one is given), engine, rewards and prompts. ``closing`` closes all of them."""
    if policy is None:
        with main_first():
            policy = assembly.build_policy(config, get_console())
    prompts = assembly.build_prompts(config.prompt, policy.tokenizer, today)
    assembly.check_lengths(config, policy.model, prompts)
    if config.trainer.strategy != "fsdp2":  # shards are moved when they are made: the model may not fit
        policy.model.to(assembly.build_device(config.trainer))
    reward = assembly.build_reward(config.reward, directory.failures, directory.judge_ledger, today=today)
    closing.callback(reward.close)
    of_benchmarks = assembly.build_benchmark_rewards(
        config, reward, directory.failures, directory.judge_ledger, today=today
    )
    for own in of_benchmarks.values():
        closing.callback(own.close)
    engine = assembly.build_engine(config, policy, prompts, directory.path)
    closing.callback(engine.close)
    aids = assembly.build_aids(config, directory.failures, directory.judge_ledger, today=today)
    if aids is not None:
        closing.callback(aids.close)
    return assembly.Parts(policy, engine, reward, prompts, of_benchmarks, aids)


def build_recorder(config: RunConfig, directory: RunDirectory, tracker: Tracker, module: IGRPOModule) -> RunRecorder:
    """Build the recorder of the main process, with its alarms, and attach both to the module.

    The alarms of a resumed run start from its metrics, which the tracker has truncated to the checkpoint.
    """
    rollouts = RolloutLog(
        directory.rollouts,
        steps_per_file=config.tracking.rollout_steps_per_file,
        keep_files=config.tracking.rollout_files_kept,
    )
    recorder = RunRecorder(
        directory,
        tracker,
        rollouts,
        config,
        module.budget,
        parameters=sum(parameter.numel() for parameter in module.policy.parameters()),
        hardware=hardware(assembly.build_device(config.trainer).type, config.processes),
    )
    alarms = Alarms(config.alarms, recorder.set_alarm)
    alarms.restore(read_metrics(directory.metrics))
    module.recorder, module.alarms = recorder, alarms
    return recorder


def build_trainer(
    config: RunConfig, directory: RunDirectory, tracker: Tracker | None, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    """Build the Lightning trainer. Its checkpoints, progress and launcher are not used."""
    device = assembly.build_device(config.trainer)
    return lightning.Trainer(
        accelerator=device.type,
        devices=config.trainer.devices,
        num_nodes=config.trainer.nodes,
        strategy=build_strategy(config.trainer, device),
        precision=_precision(config),
        max_epochs=1,
        logger=False if tracker is None else RunLogger(tracker),
        callbacks=callbacks,
        plugins=FileCheckpointIO(),
        default_root_dir=directory.path,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _precision(config: RunConfig) -> Literal["32-true", "bf16-mixed"]:
    """Return Lightning's precision. Shards set their own precision (see `training.strategies.shard`)."""
    return "bf16-mixed" if config.trainer.precision == "bf16" and config.trainer.strategy != "fsdp2" else "32-true"


def build_callbacks(
    config: RunConfig,
    directory: RunDirectory,
    recorder: RunRecorder | None,
    parts: assembly.Parts,
    source: assembly.FittingSource,
    *,
    first: FirstResults | None,
) -> list[lightning.Callback]:
    """Build the callbacks in the order of a step: evaluate, save (needs the accuracy to find the best), print."""
    _, cell = sweep_of(directory.path) or (None, None)
    label = f"{config.condition} s{config.seed}" if cell is None else cell.name
    progress = ProgressCallback(get_console(), config.trainer.steps, label)
    checkpoints = CheckpointCallback(directory.checkpoints, config.checkpoint)

    def report(step: int, split: Split, result: EvaluationResult) -> None:
        assert recorder is not None
        recorder.record_evaluation(step, split, result)
        if split == "development" and step == 0:
            report_draft_worth(result, config, get_console() if cell is None else None, recorder.set_alarm)
        if result.test_time is not None:
            for sentence in sentences(result.test_time):
                log.info("step %d, %s: %s", step, split, sentence)
            if cell is None:
                print_test_time(f"step {step}, {split}", result.test_time, get_console())
        if split == "development" and result.single_shot is not None:
            progress.report_accuracy(step, result.single_shot.value)
            checkpoints.report_accuracy(step, result.single_shot.value)

    def is_done(step: int, split: Split) -> bool:
        return recorder is not None and recorder.has_evaluation(step, split)

    development = assembly.build_development_evaluator(config, source.development, parts)
    final = {"test": assembly.build_evaluator(config, source.test, parts)} | {
        name: assembly.build_benchmark_evaluator(config, name, questions, parts)
        for name, questions in source.benchmarks.items()
    }
    every, during = config.evaluation.every, progress.evaluating
    evaluation = EvaluationCallback(development, final, report, is_done, every=every, first=first, during=during)
    callbacks = [signal_callback(), evaluation, checkpoints, *([] if recorder is None else [progress])]
    if config.profile:  # after the others, so that a step's evaluation and checkpoint are in its trace
        assert config.profiling is not None, "checked by the configuration"
        callbacks.append(ProfileCallback(directory.profile, config.profiling, _print_lines))
    return callbacks


def _print_lines(text: str) -> None:
    get_console().print(text, soft_wrap=True)


def signal_callback() -> lightning.Callback:
    """Return a callback that takes SIGTERM back from Lightning, which replaces its handler when training begins.

    Lightning's handler broadcasts to the other processes, perhaps in the middle of another collective operation. This
    must be the first callback, because the evaluation before the first step takes long.
    """
    return LambdaCallback(on_train_start=lambda trainer, module: raise_on_signals())
