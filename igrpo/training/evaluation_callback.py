"""When held-out questions are asked: the development split on the way, the test split before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import lightning

from igrpo.evaluation.evaluator import Evaluator
from igrpo.evaluation.result import EvaluationResult
from igrpo.training.module import IGRPOModule

Split = Literal["development", "test"]

#: Called with the rollout step, the split and the result of each evaluation.
EvaluationSink = Callable[[int, Split, EvaluationResult], None]


class EvaluationCallback(lightning.Callback):
    """Evaluates at step 0, every ``every`` rollout steps and after the last.

    The test split is used before and after training only, so that nothing is chosen by it. A resumed run does not
    repeat the evaluations that its checkpoint has behind it.
    """

    def __init__(
        self, development: Evaluator, test: Evaluator, report: EvaluationSink, *, every: int, last_step: int
    ) -> None:
        self._evaluators: dict[Split, Evaluator] = {"development": development, "test": test}
        self._report, self._every, self._last_step = report, every, last_step

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The accuracy before training."""
        assert isinstance(pl_module, IGRPOModule)
        if pl_module.rollout_step == 0:
            self._evaluate(pl_module, "test")
            self._evaluate(pl_module, "development")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """The development split when it is due; both after the last step."""
        assert isinstance(pl_module, IGRPOModule)
        last = pl_module.rollout_step == self._last_step
        if last or pl_module.rollout_step % self._every == 0:
            self._evaluate(pl_module, "development")
        if last:
            self._evaluate(pl_module, "test")

    def _evaluate(self, module: IGRPOModule, split: Split) -> None:
        with module.budget.phase("evaluation"):
            result = asyncio.run(self._evaluators[split].run())
        if module.logger is not None:
            module.logger.log_metrics(result.metrics(split), module.rollout_step)
        self._report(module.rollout_step, split, result)
