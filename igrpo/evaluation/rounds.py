"""Samples by need: rounds of sampling that end as soon as the interval of the accuracy is narrow enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from igrpo.evaluation.estimators import AccuracyEstimate  # imports scipy, which the settings' table does not need

#: Samples per question in the first round: the variance between the samples of a question, and the gain of a draft over
#: the other answers to its question, need at least two.
_FIRST = 2


def round_ends(samples: int, oracle_drafts: int) -> Sequence[int]:
    """Return the samples per question after each round: the first round's, then twice as many, up to ``samples``.

    The first round has at least one block of ``oracle_drafts`` drafts, from which the oracle selects (0: no oracle).
    """
    end = min(max(_FIRST, oracle_drafts), samples)
    ends = [end]
    while end < samples:
        end = min(2 * end, samples)
        ends.append(end)
    return ends


def is_narrow(estimate: AccuracyEstimate | None, width: float) -> bool:
    """True if the interval is narrower than ``width`` (a difference of shares). False without an estimate."""
    return estimate is not None and estimate.high - estimate.low < width
