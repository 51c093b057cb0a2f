"""Checks of the overlong penalty, entropy control and dynamic sampling."""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.config.schema import RunConfig
from igrpo.settings.rollout import LocalRolloutConfig


def objective_problems(config: RunConfig) -> Iterator[str]:
    """Yield a message for each contradiction: the setting, its value and what to change."""
    yield from _overlong(config)
    yield from _entropy(config)
    yield from _dynamic_sampling(config)


def _overlong(config: RunConfig) -> Iterator[str]:
    buffer, limit = config.objective.overlong_buffer, config.sampling.max_completion_tokens
    if buffer is None:
        return
    if config.objective.mask_truncated:
        yield (
            f"objective.overlong_buffer={buffer} cannot go with objective.mask_truncated=true: a truncated completion "
            "is either penalised or left out; set mask_truncated to false, or overlong_buffer to null"
        )
    if buffer > limit:
        yield (
            f"objective.overlong_buffer={buffer} is longer than sampling.max_completion_tokens={limit}, whose last "
            "tokens it is; lower it"
        )


def _entropy(config: RunConfig) -> Iterator[str]:
    control, bonus, rollout = config.objective.entropy_control, config.objective.entropy_bonus, config.rollout
    if control.target is None:
        return
    if not 0 <= bonus <= control.maximum:
        yield (
            f"objective.entropy_bonus={bonus:g} is where objective.entropy_control begins, from 0 to "
            f"objective.entropy_control.maximum={control.maximum:g}; set it to 0"
        )
    if not isinstance(rollout, LocalRolloutConfig) and not rollout.entropy_completions:
        yield (
            f"objective.entropy_control.target={control.target:g} needs entropies, and rollout.entropy_completions=0 "
            "measures none; raise that to 1 or more"
        )


def _dynamic_sampling(config: RunConfig) -> Iterator[str]:
    attempts = config.dynamic_sampling.max_attempts
    if attempts and config.objective.advantage.select == "best":
        yield (
            f"dynamic_sampling.max_attempts={attempts} drops questions that are answered all right, which "
            "objective.advantage.select=best would imitate; set it to 0"
        )
