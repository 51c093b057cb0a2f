"""Checks of what an evaluation is asked to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from igrpo.generation.base import SamplingParams
from igrpo.types import Question


def check_settings(
    questions: Sequence[Question],
    sampling: SamplingParams,
    samples: int,
    oracle_drafts: int,
    interval_width: float | None,
) -> None:
    """Check the arguments of an `Evaluator`.

    Raises:
        ValueError: a setting that cannot be evaluated.
    """
    if not questions:
        raise ValueError("evaluation has no questions; give it a held-out split with at least one")
    twice = [name for name, count in Counter(question.id for question in questions).items() if count > 1]
    if twice:
        raise ValueError(
            f"evaluation question id '{twice[0]}' is used more than once; ids seed the sampling: make them unique"
        )
    if samples < 1:
        raise ValueError(f"evaluation.samples={samples} must be at least 1")
    if sampling.temperature <= 0:
        raise ValueError(
            f"evaluation.temperature={sampling.temperature} is not positive; the headline accuracy is sampled: set a "
            "temperature above 0 and read .../greedy/accuracy for greedy decoding"
        )
    if oracle_drafts < 0 or oracle_drafts > samples:
        raise ValueError(
            f"evaluation.oracle_drafts={oracle_drafts} must be between 0 (off) and evaluation.samples={samples}, "
            "whose answers are the drafts"
        )
    if interval_width is not None and not 0 < interval_width < 1:
        raise ValueError(
            f"evaluation.interval_width={interval_width} must be between 0 and 1, such as 0.1 for ten percentage "
            "points from end to end, or null for all samples"
        )
