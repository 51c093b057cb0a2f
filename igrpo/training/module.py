"""The two-stage step as a Lightning module."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import lightning
import torch

from igrpo.budget import Budget
from igrpo.config.schema import ObjectiveConfig, TrainerConfig
from igrpo.metrics import step_metrics
from igrpo.policy.shape import model_shape
from igrpo.training.batching import question_rows
from igrpo.training.collect import Collector
from igrpo.training.forward import PolicyForward
from igrpo.training.schedule import learning_rate
from igrpo.training.stopping import StoppingRule
from igrpo.training.update import NonFiniteError, Updater
from igrpo.types import Question, Trace

CHECKPOINT_VERSION = 1

log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Where a step's data goes (the run directory); the module knows no files."""

    def record(self, step: int, traces: Sequence[Trace]) -> None:
        """Keep every draft and refinement of a step."""
        ...

    def record_failure(self, step: int, traces: Sequence[Trace], reason: str) -> Path:
        """Keep the data of a step that stopped the run; where it lies."""
        ...


class IGRPOModule(lightning.LightningModule):
    """Manual optimisation, one whole rollout cycle a step, so that a checkpoint always falls on its boundary.

    A batch is ``(cycles done before it, questions)``; ``rollout_step`` counts the finished cycles (Lightning's
    ``global_step`` counts optimizer steps).
    """

    def __init__(
        self,
        policy: Any,
        reference: Any | None,
        collector: Collector,
        *,
        objective: ObjectiveConfig,
        trainer: TrainerConfig,
        stopping: StoppingRule,
        pad_id: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy = policy
        self._reference = (reference,)  # in a tuple: it is no part of the state_dict
        self._collector = collector
        self.recorder: Recorder | None = None
        self._objective, self._trainer_config, self._pad_id = objective, trainer, pad_id
        self._stopping = stopping
        self._shape = model_shape(policy)
        if not self._shape.exact:
            log.warning(
                "budget/flops is an estimate: the layers of a %s are not known here, and count 2 operations for each "
                "non-embedding parameter and token",
                type(policy).__name__,
            )
        self._forward = PolicyForward(
            temperature=collector.params.temperature,
            chunk=trainer.head_chunk,
            with_entropy=objective.entropy_bonus != 0,
            entropy_grad=objective.entropy_bonus != 0,
        )
        self.budget = Budget()
        self.rollout_step = 0
        self.latest: dict[str, float] = {}

    @property
    def is_last(self) -> bool:
        """Whether the run ends at the rollout boundary where it stands. Evaluation and checkpoint do not move it."""
        return self._stopping.is_last(self.rollout_step, self.budget.metrics())

    def training_step(self, batch: tuple[int, Sequence[Question]], batch_index: int) -> None:
        """Sample, score and refine; update; hand the new weights to the engine; log."""
        done, questions_S = batch
        step = done + 1
        try:
            traces_S = self._collector.collect(step, questions_S, self.budget)
        except FloatingPointError as error:
            asked = [Trace(question, ()) for question in questions_S]
            raise self._failure(step, asked, f"while sampling: {error}", "Lower trainer.learning_rate") from None
        if self.recorder is not None:
            self.recorder.record(step, traces_S)
        metrics = step_metrics(traces_S, variance_tolerance=self._objective.advantage.tolerance)
        metrics["train/learning_rate"] = self._set_learning_rate(step)

        with self.budget.phase("update"):
            rows_S = [
                question_rows(trace, self._objective.advantage, mask_truncated=self._objective.mask_truncated)
                for trace in traces_S
            ]
            try:
                result = self._updater().run(rows_S, self._optimizer())
            except NonFiniteError as error:
                advice = (
                    "Lower trainer.learning_rate, or set trainer.on_nonfinite=skip to leave such updates out and count "
                    "them"
                )
                raise self._failure(step, traces_S, str(error), advice) from None
        self.budget.trained_tokens += result.trained_tokens
        self.budget.flops += result.flops
        self.budget.skipped_updates += result.skipped
        with self.budget.phase("weight_sync"):
            self._collector.engine.sync_weights(step)

        self.rollout_step = step
        self.latest = {**metrics, **result.metrics, **self.budget.metrics()}
        if self.logger is not None:
            self.logger.log_metrics(self.latest, step)
        self.budget.begin_step()  # evaluation and checkpoint follow: the next step's line has their seconds

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on what requires a gradient; weight decay on matrices only, as usual."""
        named = [p for p in self.policy.parameters() if p.requires_grad]
        decay = self._trainer_config.weight_decay
        groups = [
            {"params": [p for p in named if p.ndim >= 2], "weight_decay": decay},
            {"params": [p for p in named if p.ndim < 2], "weight_decay": 0.0},
        ]
        config = self._trainer_config
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=config.adam_eps)

    def on_fit_start(self) -> None:
        """Mark the weights, and keep dropout off: with it pi_theta is not the policy that sampled, and at the first
        update no ratio would be 1."""
        self.policy.eval()
        self._collector.engine.sync_weights(self.rollout_step)

    def on_train_start(self) -> None:
        """A run that is resumed at its end trains no more."""
        self._stop_at_the_end()

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop at the boundary where the run ends. The callbacks have evaluated and saved by now."""
        self._stop_at_the_end()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The module's own state: plain values, so that the file loads without executing code."""
        checkpoint["igrpo"] = {
            "schema_version": CHECKPOINT_VERSION,
            "rollout_step": self.rollout_step,
            "budget": self.budget.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on after the checkpoint's rollout step."""
        # a checkpoint of the last step says that the epoch is over, and a prolonged run would train nothing
        checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False
        own = checkpoint["igrpo"]
        self.rollout_step = own["rollout_step"]
        self.budget.load_state_dict(own["budget"])

    def _stop_at_the_end(self) -> None:
        if self.is_last:
            self.trainer.should_stop = True

    def _failure(self, step: int, traces: Sequence[Trace], reason: str, advice: str) -> NonFiniteError:
        kept = None if self.recorder is None else self.recorder.record_failure(step, traces, reason)
        return NonFiniteError(f"step {step}: {reason}; the step's data: {kept or 'not kept'}. {advice}")

    def _set_learning_rate(self, step: int) -> float:
        rate = learning_rate(self._trainer_config, step)
        for group in self._optimizer().param_groups:
            group["lr"] = rate
        return rate

    def _optimizer(self) -> Any:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list), "one optimizer"
        return optimizer

    def _updater(self) -> Updater:
        return Updater(
            policy=self.policy,
            reference=self._reference[0],
            objective=self._objective,
            trainer=self._trainer_config,
            forward=self._forward,
            backward=self.manual_backward,
            shape=self._shape,
            pad_id=self._pad_id,
            device=self.device,
        )
