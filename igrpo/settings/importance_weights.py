"""Settings of importance weights: for samplers that differ from the trainer, and for training across prompts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from igrpo.settings.base import Section

WeightLevel = Literal["none", "token", "sequence"]


class ImportanceWeightsConfig(Section):
    """Importance weights pi_old / sampler."""

    level: WeightLevel
    """A weight per token (`token`), per completion, as the product over its tokens (`sequence`), or no weight (`none`).
    """

    bound: Literal["truncate", "mask"]
    """Treatment of a weight outside of `low` to `high`: clamped to the range (`truncate`), or set to 0 (`mask`)."""

    low: PositiveFloat | None
    """Lower bound of a weight. Null: no bound on that side."""

    high: PositiveFloat | None
    """Upper bound of a weight. Null: no bound on that side."""


#: All weights are 1.
NO_WEIGHTS = ImportanceWeightsConfig(level="none", bound="truncate", low=None, high=None)


class CrossPromptWeightsConfig(Section):
    """Importance weights of completions trained as answers to a prompt other than the one they were sampled from.

    The weight is pi_old(o | trained prompt) / pi_old(o | sampled prompt), at most ``cap``.
    """

    method: Literal["truncate"]
    """How completions are trained as answers to a prompt other than their own: with a truncated importance weight
    pi_old(o | trained prompt) / pi_old(o | sampled prompt) (`truncate`), or by the term A * pi / (pi + gamma) per
    token, with pi given the trained prompt, and without weights (`shape`)."""

    level: WeightLevel
    """`truncate`: a weight per token (`token`), per completion (`sequence`), or a weight of 1, which is biased and
    serves as a control (`none`)."""

    cap: PositiveFloat
    """`truncate`: upper bound of a weight."""

    @property
    def weights(self) -> ImportanceWeightsConfig:
        return ImportanceWeightsConfig(level=self.level, bound="truncate", low=None, high=self.cap)


class PolicyShapingConfig(Section):
    """Policy shaping in place of cross-prompt weights, which are 1.

    A token's term is A * pi / (pi + gamma), with pi given the trained prompt.
    """

    method: Literal["shape"]
    """How completions are trained as answers to a prompt other than their own: with a truncated importance weight
    pi_old(o | trained prompt) / pi_old(o | sampled prompt) (`truncate`), or by the term A * pi / (pi + gamma) per
    token, with pi given the trained prompt, and without weights (`shape`)."""

    gamma: PositiveFloat
    """`shape`: gamma in that term. The lower it is, the more unlikely tokens count."""

    @property
    def weights(self) -> ImportanceWeightsConfig:
        return NO_WEIGHTS


CrossPromptConfig = Annotated[CrossPromptWeightsConfig | PolicyShapingConfig, Field(discriminator="method")]
