"""Settings of sampling in training."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section, TopP


class SamplingConfig(Section):
    """Sampling of completions in training."""

    temperature: PositiveFloat
    """Sampling temperature; 1 leaves the model's distribution unchanged."""

    top_p: TopP
    """Sample from the smallest set of most likely tokens with this total probability. 1: from all tokens."""

    top_k: NonNegativeInt
    """Sample from this number of most likely tokens. 0: from all tokens."""

    max_completion_tokens: PositiveInt
    """Maximum length of a completion, in tokens. The model's file in conf/model sets it."""


class DynamicSamplingConfig(Section):
    """Dynamic sampling, as in DAPO.

    A question whose trained answers are all right or all wrong is replaced in the step by another one.
    """

    max_attempts: NonNegativeInt
    """Maximum number of replacements per question; if all are used up, the step has one question less. 0: no question
    is replaced."""
