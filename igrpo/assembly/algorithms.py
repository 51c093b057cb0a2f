"""Factory of the algorithm. To add one: a file in `igrpo.algorithms`, its settings, and a line in ``_BUILDERS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from igrpo.algorithms.base import Algorithm
from igrpo.algorithms.critique_grpo import CritiqueGRPO
from igrpo.algorithms.grpo import GRPO
from igrpo.algorithms.igrpo import IGRPO
from igrpo.algorithms.selection import RULES
from igrpo.algorithms.self_verification import SelfVerification
from igrpo.config.schema import RunConfig
from igrpo.settings.algorithm import CritiqueGRPOConfig, GRPOConfig, IGRPOConfig, SelfVerificationConfig


def _grpo(algorithm: GRPOConfig, total: int) -> Algorithm:
    return GRPO(algorithm.answers)


def _igrpo(algorithm: IGRPOConfig, total: int) -> Algorithm:
    return IGRPO(
        drafts=algorithm.drafts,
        group_size=algorithm.group_size(total),
        rounds=algorithm.rounds,
        show=algorithm.show,
        select=RULES[algorithm.selection],
        ties=algorithm.ties,
        all_failed=algorithm.all_failed,
        joint_baseline=algorithm.joint_baseline,
        train_on=frozenset(algorithm.train_on),
        bare_fraction=algorithm.bare_fraction,
    )


def _critique_grpo(algorithm: CritiqueGRPOConfig, total: int) -> Algorithm:
    return CritiqueGRPO(algorithm.answers, algorithm.critiques(total), algorithm.kept)


def _self_verification(algorithm: SelfVerificationConfig, total: int) -> Algorithm:
    return SelfVerification(
        algorithm.answers, algorithm.verifications(total), algorithm.buffer, balanced=algorithm.balanced
    )


#: Builder function by type of settings. It takes the settings and the number of completions per question.
_BUILDERS: dict[type, Callable[[Any, int], Algorithm]] = {
    GRPOConfig: _grpo,
    IGRPOConfig: _igrpo,
    CritiqueGRPOConfig: _critique_grpo,
    SelfVerificationConfig: _self_verification,
}


def build_algorithm(config: RunConfig) -> Algorithm:
    """Build the algorithm, with a budget of ``completions_per_question``. Its state is empty."""
    return _BUILDERS[type(config.algorithm)](config.algorithm, config.completions_per_question)
