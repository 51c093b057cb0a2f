"""Settings of importance weights: for samplers that differ from the trainer, and for training across prompts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from igrpo.settings.base import Section

WeightLevel = Literal["none", "token", "sequence"]


class ImportanceWeightsConfig(Section):
    """Importance weights pi_old / sampler of each ``token``, or of its whole ``sequence`` (``none``: 1).

    ``truncate`` clamps a weight to the range from ``low`` to ``high``; ``mask`` sets weights outside that range to 0.
    None: no bound on that side.
    """

    level: WeightLevel
    bound: Literal["truncate", "mask"]
    low: PositiveFloat | None
    high: PositiveFloat | None


_NO_WEIGHTS = ImportanceWeightsConfig(level="none", bound="truncate", low=None, high=None)


class CrossPromptWeightsConfig(Section):
    """Importance weights of completions trained as answers to a prompt other than the one they were sampled from.

    The weight is pi_old(o | trained prompt) / pi_old(o | sampled prompt) of a ``token`` or of the whole ``sequence``,
    at most ``cap``. With level ``none`` it is 1, which is biased and serves as a control.
    """

    method: Literal["truncate"]
    level: WeightLevel
    cap: PositiveFloat

    @property
    def weights(self) -> ImportanceWeightsConfig:
        return ImportanceWeightsConfig(level=self.level, bound="truncate", low=None, high=self.cap)


class PolicyShapingConfig(Section):
    """Policy shaping in place of cross-prompt weights, which are 1.

    A token's term is A * pi / (pi + gamma), with pi given the trained prompt.
    """

    method: Literal["shape"]
    gamma: PositiveFloat

    @property
    def weights(self) -> ImportanceWeightsConfig:
        return _NO_WEIGHTS


CrossPromptConfig = Annotated[CrossPromptWeightsConfig | PolicyShapingConfig, Field(discriminator="method")]
