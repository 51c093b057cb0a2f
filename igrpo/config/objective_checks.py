"""Checks of the loss: ratio, surrogate, advantages, importance weights, overlong penalty, entropy control."""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.config.schema import RunConfig
from igrpo.settings.rollout import LocalRolloutConfig


def objective_problems(config: RunConfig) -> Iterator[str]:
    """Yield a message for each contradiction: the setting, its value and what to change."""
    yield from _surrogate(config)
    yield from _advantage(config)
    yield from _ratio(config)
    yield from _overlong(config)
    yield from _entropy(config)
    yield from _dynamic_sampling(config)
    yield from _sampler_weights(config)


def _advantage(config: RunConfig) -> Iterator[str]:
    advantage = config.objective.advantage
    if advantage.select == "best":
        for key, value in (("baseline", advantage.baseline), ("scale", advantage.scale)):
            if value != "none":
                yield (
                    f"objective.advantage.{key}={value} is ignored by objective.advantage.select=best; set it to none"
                )
    elif advantage.baseline == "none" and advantage.scale != "none":
        yield (
            f"objective.advantage.scale={advantage.scale} cannot go with objective.advantage.baseline=none: rewards "
            "that are all equal have no standard deviation; set it to none"
        )


def _surrogate(config: RunConfig) -> Iterator[str]:
    objective = config.objective
    clips = {"objective.clip_low": objective.clip_low, "objective.clip_high": objective.clip_high}
    if objective.surrogate == "reinforce":
        for key, value in clips.items():
            if value is not None:
                yield f"{key}={value} is ignored by objective.surrogate=reinforce; set it to null"
        if objective.ratio != "token":
            yield f"objective.ratio={objective.ratio} is ignored by objective.surrogate=reinforce; set it to token"
    elif objective.clip_high is None:
        yield f"objective.clip_high=null: objective.surrogate={objective.surrogate} needs an upper bound, such as 0.2"
    if objective.surrogate == "clip" and objective.clip_low is None:
        yield "objective.clip_low=null: objective.surrogate=clip needs a lower bound, such as 0.2"
    if objective.surrogate == "clip" and objective.clip_low is not None and objective.clip_low >= 1:
        yield f"objective.clip_low={objective.clip_low} must be below 1: a ratio cannot fall to 0 or less"
    if objective.surrogate == "detached" and objective.ratio == "sequence":
        yield "objective.ratio=sequence cannot go with objective.surrogate=detached; set objective.ratio=token"
    if objective.aggregation == "constant" and objective.constant_divisor is None:
        yield "objective.constant_divisor=null: objective.aggregation=constant needs a number of tokens to divide by"
    if objective.aggregation != "constant" and objective.constant_divisor is not None:
        yield (
            f"objective.constant_divisor={objective.constant_divisor} is ignored by objective.aggregation="
            f"{objective.aggregation}; set it to null"
        )


def _ratio(config: RunConfig) -> Iterator[str]:
    if config.algorithm.transferring is not None and config.objective.ratio == "sequence":
        yield (
            f"algorithm.name={config.algorithm.name} trains samples as answers to a prompt other than their own "
            "(algorithm.transfer), which cannot go with objective.ratio=sequence, whose clip is made for samples of "
            "the prompt that is trained; choose an objective with objective.ratio=token"
        )


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


def _sampler_weights(config: RunConfig) -> Iterator[str]:
    correction = config.correction
    bounds = {"correction.low": correction.low, "correction.high": correction.high}
    if correction.level == "none":
        for key, value in bounds.items():
            if value is not None:
                yield f"{key}={value} is ignored by correction.level=none; set it to null, or the level to token"
        if correction.bound != "truncate":
            yield f"correction.bound={correction.bound} is ignored by correction.level=none; set it to truncate"
        return
    if correction.high is None:
        yield (
            f"correction.high=null: correction.level={correction.level} needs an upper bound, such as 2, since one "
            "weight could outgrow all others"
        )
    # the ratio is 1 for a token on which sampler and trainer agree
    if correction.high is not None and correction.high < 1:
        yield (
            f"correction.high={correction.high} is below 1, the ratio where sampler and trainer agree; raise it to 1 "
            "or more"
        )
    if correction.low is not None and correction.low > 1:
        yield (
            f"correction.low={correction.low} is above 1, the ratio where sampler and trainer agree; lower it to 1 or "
            "less, or set it to null"
        )
