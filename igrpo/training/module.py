"""Lightning module whose training step is one rollout cycle."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import lightning
import torch

from igrpo import distributed
from igrpo.budget import Budget
from igrpo.generation.base import Sleeper
from igrpo.losses import Objective
from igrpo.metrics.alarms import Alarms
from igrpo.models.flops import model_shape
from igrpo.models.lean_layers import LeanLayers
from igrpo.phases import phase
from igrpo.settings.trainer import TrainerConfig
from igrpo.threads import torch_threads
from igrpo.training.checkpoint_content import PlainState, check_names, trained_tensors
from igrpo.training.collect import Collector
from igrpo.training.dynamic_sampling import gather_rollouts
from igrpo.training.entropies import EntropyMeter
from igrpo.training.entropy_control import entropy_control
from igrpo.training.forward import PolicyForward, PolicyRoot
from igrpo.training.measures import peak_memory, sample_metrics, warn_without_scores
from igrpo.training.optimizer import adamw
from igrpo.training.packing import packs_rows
from igrpo.training.reward_metrics import forget_measures, reward_metrics
from igrpo.training.rows import Overlong, question_rows
from igrpo.training.schedule import learning_rate
from igrpo.training.stopping import StoppingRule
from igrpo.training.strategies import checkpoint_activations, shard
from igrpo.training.update import NonFiniteError, Updater, UpdateResult
from igrpo.training.weight_sync_check import WeightSyncCheck
from igrpo.types import Question, Rollout

_ADVICE = "Lower trainer.learning_rate, or set trainer.on_nonfinite=skip to leave such updates out and count them"

log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Destination of a step's data (the run directory). The module itself writes no files."""

    def record(self, step: int, rollouts: Sequence[Rollout]) -> None:
        """Store every sample of a step."""
        ...

    def record_failure(self, step: int, rollouts: Sequence[Rollout], reason: str) -> Path:
        """Store the data of a step that stopped the run, and return its path."""
        ...


class IGRPOModule(lightning.LightningModule):
    """Lightning module whose training step is one rollout cycle, with manual optimisation.

    A checkpoint therefore always falls on the boundary of a cycle. A batch is ``(number of cycles done before it,
    questions)``. ``rollout_step`` counts finished cycles, while Lightning's ``global_step`` counts optimizer steps.
    """

    def __init__(
        self,
        policy: Any,
        reference: Any | None,
        collector: Collector,
        *,
        objective: Objective,
        trainer: TrainerConfig,
        stopping: StoppingRule,
        pad_id: int,
        entropies: EntropyMeter | None = None,
        weight_sync_check: WeightSyncCheck | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy = policy
        # in tuples, to keep them out of the state_dict
        self._reference: tuple[Any | None] = (reference,)
        self._root: tuple[PolicyRoot] | None = None
        self.collector = collector
        self.recorder: Recorder | None = None
        self.alarms: Alarms | None = None
        # checkpoints of adapters lack the frozen weights; `check_names` checks the other names
        self.strict_loading = all(parameter.requires_grad for parameter in policy.parameters())
        self._objective = objective
        self._trainer_config, self._pad_id = trainer, pad_id
        self._stopping = stopping
        self._entropies, self._weight_sync_check = entropies, weight_sync_check
        self._shape = model_shape(policy)
        if not self._shape.exact:
            log.warning(
                "budget/flops is an estimate: the layers of a %s are not known here, so 2 operations per "
                "non-embedding parameter and token are counted",
                type(policy).__name__,
            )
        self._packed = packs_rows(policy, trainer)
        self._lean = LeanLayers(policy if trainer.lean_layers else None)
        self._control = entropy_control(objective.settings)
        buffer = objective.settings.overlong_buffer
        self._overlong = None if buffer is None else Overlong(collector.params.max_new_tokens, buffer)
        self.budget = Budget()
        self.rollout_step = 0
        self.latest: dict[str, float] = {}

    @property
    def is_last(self) -> bool:
        """True if the run ends at the current rollout boundary. Evaluations and checkpoints do not change that."""
        return self._stopping.is_last(self.rollout_step, self.budget.metrics())

    def training_step(self, batch: tuple[int, Sequence[Question]], batch_index: int) -> None:
        """Sample, score and refine; update the policy; send the new weights to the engine; log metrics.

        Meanwhile torch has ``trainer.threads`` threads, also in a notebook that never set their number.
        """
        with torch_threads(self._trainer_config.threads):
            self._cycle(*batch)

    def _cycle(self, done: int, questions_S: Sequence[Question]) -> None:
        step, before = done + 1, self.budget.counts()
        forget_measures(self.collector.reward)
        mine_S = self._collect(step, distributed.share(questions_S))
        measured = reward_metrics(self.collector.reward)
        rate = self._set_learning_rate(step)
        settings = self._objective.settings
        rows_S = [
            question_rows(rollout, settings.advantage, mask_truncated=settings.mask_truncated, overlong=self._overlong)
            for rollout in mine_S
            if rollout.dropped is None
        ]
        controlled = {} if self._control is None else self._control.control(mine_S)
        entropy_coefficient = controlled.get("train/entropy_coefficient", settings.entropy_bonus)
        self._update_state(mine_S)
        rollouts_S = gather_rollouts(mine_S)
        if rollouts_S is not None and self.recorder is not None:
            with phase("logging"):
                self.recorder.record(step, rollouts_S)
        with self.budget.phase("update"):
            try:
                with self._lean.active():
                    result = self._updater().run(rows_S, self._optimizer(), entropy_coefficient)
            except NonFiniteError as error:
                raise self._failure(step, rollouts_S, str(error), _ADVICE) from None
        with self.budget.phase("weight_sync"):
            synced = self._sync_weights(step)
        self._count(result, before)

        self.rollout_step = step
        if rollouts_S is not None:
            warn_without_scores(step, rollouts_S, self.collector.reward.name)
            sampled = sample_metrics(
                rollouts_S,
                variance_tolerance=settings.advantage.tolerance,
                refills=self.collector.refill is not None,
                overlong=self._overlong,
            )
            self.latest = {**sampled, **controlled, "train/learning_rate": rate, **measured, **synced}
            self.latest |= {**peak_memory(self.device), **result.metrics, **self.budget.metrics()}
            if self.alarms is not None:
                self.latest |= self.alarms.after_step(step, self.latest, rollouts_S)
            if self.logger is not None:
                with phase("logging"):
                    self.logger.log_metrics(self.latest, step)
        self.budget.begin_step()  # evaluation and checkpoint follow; their seconds are logged with the next step

    def _collect(self, step: int, questions: Sequence[Question]) -> list[Rollout]:
        """Sample and score the questions, and measure the entropies that the engine does not report."""
        try:
            rollouts = self.collector.collect(step, questions, self.budget)
        except FloatingPointError as error:
            asked = [Rollout(question) for question in questions]
            raise self._failure(step, asked, f"while sampling: {error}", "Lower trainer.learning_rate") from None
        if isinstance(self.collector.engine, Sleeper):
            self.collector.engine.sleep()
        if self._entropies is None:
            return rollouts
        with self.budget.phase("entropies"):
            return self._entropies.measure(rollouts, self._run_policy, self.device)

    def _update_state(self, mine_S: Sequence[Rollout]) -> None:
        """Update the algorithm's state with all questions of the step, in every process."""
        state = self.collector.state
        if state is not None:
            state.update_state(distributed.gather_shares([state.extract_state(rollout) for rollout in mine_S]))

    def _count(self, result: UpdateResult, before: Mapping[str, int]) -> None:
        """Add the cost of the update to the budget, over all processes. Seconds are those of the main process."""
        self.budget.trained_tokens += result.trained_tokens
        self.budget.flops += result.flops
        skipped = self.budget.skipped_updates + result.skipped
        if distributed.world() > 1:
            now = distributed.gather(self.budget.counts())
            self.budget.set_counts({k: v + sum(counts[k] - v for counts in now) for k, v in before.items()})
            self.budget.seconds = distributed.from_main(self.budget.seconds)
        self.budget.skipped_updates = skipped  # all processes skip the same updates: no sum

    def _sync_weights(self, step: int, *, exact: bool = False) -> dict[str, float]:
        """Send the weights to the engine, check that they have arrived, and return the check's metrics."""
        self.collector.engine.sync_weights(step)
        if self._weight_sync_check is None:
            return {}
        gap = self._weight_sync_check.check(step, self.policy, self._run_policy, self.device, exact=exact)
        return {"train/canary_gap": gap}

    @property
    def _run_policy(self) -> Any:
        """The policy or, if it is sharded, the wrapper that gathers its shards before a forward pass."""
        return self.policy if self._root is None else self._root[0]

    def configure_model(self) -> None:
        """Shard the weights if the strategy requires it. Lightning may call this more than once."""
        if self._trainer_config.strategy != "fsdp2" or self._root is not None:
            return
        assert self.device_mesh is not None
        mesh, precision = self.device_mesh["data_parallel"], self._trainer_config.precision
        self._root = (shard(self.policy, mesh, precision=precision),)
        if self._reference[0] is not None:
            self._reference = (shard(self._reference[0], mesh, precision=precision),)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the state of the trained tensors. With adapters, the base model provides the frozen weights."""
        return trained_tensors(self, super().state_dict(*args, **kwargs))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the AdamW optimizer of the parameters that require a gradient."""
        return adamw(self.policy, self._trainer_config)

    def on_fit_start(self) -> None:
        """Disable dropout, and send the weights to the engine with an exact check.

        With dropout, pi_theta would not be the policy that sampled, and no ratio would be 1 at the first update.
        """
        self.policy.eval()
        if self._trainer_config.activation_checkpointing:
            checkpoint_activations(self.policy)
        with self.trainer.precision_plugin.forward_context(), torch_threads(self._trainer_config.threads):
            self._sync_weights(self.rollout_step, exact=True)

    def on_train_start(self) -> None:
        """Stop at once if the run is resumed at its last step."""
        self._stop_at_the_end()

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop if this was the last step. The callbacks have already evaluated and saved."""
        self._stop_at_the_end()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the module's own state to the checkpoint."""
        checkpoint["igrpo"] = self._plain_state.save(self.rollout_step)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the module's own state, including the rollout step."""
        # a checkpoint of the last step marks the epoch as finished, and a prolonged run would train nothing
        checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False
        check_names(checkpoint["state_dict"], self.state_dict())
        self.rollout_step = self._plain_state.load(checkpoint["igrpo"])

    @property
    def _plain_state(self) -> PlainState:
        return PlainState(self.budget, self._control, self.collector.state)

    def _stop_at_the_end(self) -> None:
        if self.is_last:
            self.trainer.should_stop = True

    def _failure(self, step: int, rollouts: Sequence[Rollout] | None, reason: str, advice: str) -> NonFiniteError:
        kept = None if self.recorder is None else self.recorder.record_failure(step, rollouts or (), reason)
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
            policy=self._run_policy,
            reference=self._reference[0],
            objective=self._objective,
            trainer=self._trainer_config,
            forward=PolicyForward(self.collector.params.temperature, self._trainer_config.head_chunk),
            backward=self.manual_backward,
            shape=self._shape,
            pad_id=self._pad_id,
            packed=self._packed,
            device=self.device,
        )
