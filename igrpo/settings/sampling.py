"""Settings of sampling in training."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section, TopP


class SamplingConfig(Section):
    temperature: PositiveFloat
    top_p: TopP
    top_k: NonNegativeInt
    max_completion_tokens: PositiveInt


class DynamicSamplingConfig(Section):
    """Dynamic sampling, as in DAPO.

    A question whose trained answers are all right or all wrong is replaced in the step by another one, at most
    ``max_attempts`` times (0: never).
    """

    max_attempts: NonNegativeInt
