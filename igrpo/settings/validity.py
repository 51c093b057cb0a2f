"""Settings of the checks of an evaluation that need further samples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from igrpo.settings.base import OpenShare, Section


class SensitivityConfig(Section):
    """Evaluation under other prompts and at other temperatures, by `igrpo eval` alone. The first half of the questions
    chooses the best variant, which is the baseline, and the other half measures it."""

    prompts: Literal["all"] | Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Names of further sets of prompts, as in `prompt=`, or `all`: those that the model's tokenizer can express. Empty:
    the evaluation's own one alone. All verdicts of this check read the answer from a box, a tag or the last line, so
    that no prompt is at a disadvantage."""

    temperatures: tuple[NonNegativeFloat, ...] = Field(default=(), strict=False)
    """Further sampling temperatures; 0 is greedy decoding. Empty: the evaluation's own one alone."""

    samples: PositiveInt = 4
    """Maximum number of samples per question and variant."""


class ContaminationConfig(Section):
    """Probe for contamination, by `igrpo eval` alone: the model completes problems of which it is shown a part."""

    older: tuple[str, ...] = Field(default=(), strict=False)
    """Names of benchmarks that were published before the model's training data were collected. Empty, and `newer`
    empty: no probe."""

    newer: tuple[str, ...] = Field(default=(), strict=False)
    """Names of benchmarks that were published afterwards, which the model cannot have seen."""

    shown: OpenShare = 0.5
    """Share of a problem's words that is shown."""

    words: PositiveInt = 8
    """Number of words after the shown part that are compared on their own, besides the whole rest."""

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """All benchmarks that are probed."""
        return (*self.older, *self.newer)
