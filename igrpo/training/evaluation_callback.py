"""Schedule of evaluations: the development split during training, the test split before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import lightning

from igrpo.distributed import from_main, is_main
from igrpo.evaluation.evaluator import Evaluator
from igrpo.evaluation.result import EvaluationResult
from igrpo.phases import phase
from igrpo.training.event_loop import run_coroutine
from igrpo.training.module import IGRPOModule

#: ``development``, ``test``, or the name of a benchmark.
Split = str

#: Called with the rollout step, the split and the result of each evaluation.
EvaluationSink = Callable[[int, Split, EvaluationResult], None]


class FirstResults(Protocol):
    """Results of evaluations before training that other runs have kept."""

    def load(self, split: Split) -> EvaluationResult | None:
        """Return the kept result; None if there is none."""
        ...

    def save(self, split: Split, result: EvaluationResult) -> None:
        """Keep a result."""
        ...


class EvaluationCallback(lightning.Callback):
    """Callback that evaluates at step 0, every ``every`` rollout steps and after the last one.

    ``final`` (the test split and the benchmarks, by name) is evaluated before and after training only, so that nothing
    is selected by it. A resumed run does not repeat evaluations for which ``is_done(step, split)`` returns True. With
    several processes, each evaluates its share of the questions, and the main process reports. At step 0, a result in
    ``first`` is used instead of an evaluation, and a new one is kept there (None: nothing is kept).
    ``during(step, split)`` is entered for each evaluation, to show it.
    """

    def __init__(
        self,
        development: Evaluator,
        final: Mapping[Split, Evaluator],
        report: EvaluationSink,
        is_done: Callable[[int, Split], bool],
        *,
        every: int,
        first: FirstResults | None = None,
        during: Callable[[int, Split], AbstractContextManager[None]] = lambda step, split: nullcontext(),
    ) -> None:
        self._evaluators: dict[Split, Evaluator] = {"development": development, **final}
        self._final = tuple(final)
        self._report, self._is_done, self._every = report, is_done, every
        self._first, self._during = first, during

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Evaluate all splits before training, or if the run is resumed at its last step, unless already done."""
        assert isinstance(pl_module, IGRPOModule)
        step = pl_module.rollout_step
        for split in self._evaluators:
            if (step == 0 or pl_module.is_last) and not from_main(self._is_done(step, split)):
                self._evaluate(trainer, pl_module, split)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Evaluate the development split when it is due, and all splits after the last step."""
        assert isinstance(pl_module, IGRPOModule)
        last = pl_module.is_last
        if last or pl_module.rollout_step % self._every == 0:
            self._evaluate(trainer, pl_module, "development")
        for split in self._final if last else ():
            self._evaluate(trainer, pl_module, split)

    def _evaluate(self, trainer: lightning.Trainer, module: IGRPOModule, split: Split) -> None:
        # use the training precision; Lightning sets it for the training step only
        with module.budget.phase("evaluation"), trainer.precision_plugin.forward_context():
            result = self._result(split, module.rollout_step)
        if not is_main():
            return
        metrics = result.metrics(split)
        if module.alarms is not None and split == "development":
            metrics |= module.alarms.after_evaluation(module.rollout_step, metrics)
        if module.logger is not None:
            module.logger.log_metrics(metrics, module.rollout_step)
        with phase("logging"):
            self._report(module.rollout_step, split, result)

    def _result(self, split: Split, step: int) -> EvaluationResult:
        first = self._first if step == 0 else None
        known = None if first is None else first.load(split)
        if known is not None:
            return known
        with self._during(step, split):
            result = run_coroutine(self._evaluators[split].run())
        if first is not None:
            first.save(split, result)
        return result
