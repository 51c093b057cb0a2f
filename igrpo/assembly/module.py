"""Factories of the Lightning data module and of the Lightning module."""

from __future__ import annotations

from collections.abc import Sequence

from igrpo.assembly.cycle import (
    Parts,
    build_collector,
    build_dynamic_sampling,
    build_entropy_meter,
    build_weight_sync_check,
)
from igrpo.config.schema import RunConfig
from igrpo.data.module import QuestionDataModule
from igrpo.losses import Objective
from igrpo.models.load import reference_copy
from igrpo.training.module import IGRPOModule
from igrpo.training.stopping import StoppingRule
from igrpo.types import Question


def build_data(config: RunConfig, train: Sequence[Question]) -> QuestionDataModule:
    """Build the data module of the training questions: one batch is the questions of a step.

    Raises:
        ValueError: there are fewer questions than a step needs.
    """
    return QuestionDataModule(train, config.seed, config.trainer.questions_per_step, config.trainer.steps)


def build_module(
    config: RunConfig,
    parts: Parts,
    data: QuestionDataModule,
    checked: Question | None = None,
    *,
    objective: Objective | None = None,
) -> IGRPOModule:
    """Build the Lightning module, without recorder and alarms.

    Args:
        checked: question whose prompt is used to check weight syncs with an engine in another process; None: the
            first training question.
        objective: the loss; None: that of the settings.
    """
    policy = parts.policy
    if objective is None:
        objective = Objective(config.objective, config.correction, config.algorithm.transferring)
    return IGRPOModule(
        policy.model,
        reference_copy(policy.model) if objective.settings.kl_beta > 0 else None,
        build_collector(config, parts, build_dynamic_sampling(config, data)),
        objective=objective,
        trainer=config.trainer,
        stopping=StoppingRule(config.trainer.steps, config.budget),
        pad_id=policy.tokenizer.pad_token_id,
        entropies=build_entropy_meter(config, parts),
        weight_sync_check=build_weight_sync_check(config, parts, data.train[0] if checked is None else checked),
    )
