"""Bootstrap over questions, and over questions and their samples, for many ratios of sums at once.

A metric is the ratio of two sums over questions: of its values and of 1 for a mean, or of lengths and counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Number of replicates.
REPLICATES = 1000

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Resamples:
    """Sums of Q questions and M metrics, from J resamplings of each question's samples: two arrays of shape (Q, J, M).

    J is 1 for the samples themselves.
    """

    tops_QJM: Array
    bottoms_QJM: Array

    @classmethod
    def means(cls, values_QJM: Array) -> Resamples:
        """Return metrics that are means over questions."""
        return cls(values_QJM, np.ones_like(values_QJM))

    def only(self, kept: Sequence[int]) -> Resamples:
        """Return the metrics with these numbers."""
        return Resamples(self.tops_QJM[..., kept], self.bottoms_QJM[..., kept])

    def joined(self, other: Resamples) -> Resamples:
        """Return these metrics with others behind them."""
        return Resamples(
            np.concatenate([self.tops_QJM, other.tops_QJM], axis=2),
            np.concatenate([self.bottoms_QJM, other.bottoms_QJM], axis=2),
        )


def bootstrap(resamples: Resamples, rng: np.random.Generator) -> Array:
    """Return replicates of each metric, shape (R, M); NaN where a replicate has nothing to average.

    Each replicate draws Q questions with replacement and, for each drawn one, one of its J resamplings.
    """
    questions, inner, metrics = resamples.tops_QJM.shape
    tops = resamples.tops_QJM.reshape(-1, metrics)
    bottoms = resamples.bottoms_QJM.reshape(-1, metrics)
    values = np.empty((REPLICATES, metrics))
    for row in values:
        drawn = rng.integers(questions * inner, size=questions)  # any question, any of its J: both are uniform
        with np.errstate(invalid="ignore"):
            row[:] = tops[drawn].sum(axis=0) / bottoms[drawn].sum(axis=0)
    return values


def percentile_bounds(replicates_RM: Array, level: float) -> Array:
    """Return the percentile interval of each metric, shape (M, 2)."""
    tails = [50 * (1 - level), 50 * (1 + level)]
    return np.asarray(np.nanpercentile(replicates_RM, tails, axis=0).T)


def centred(replicates_RM: Array, values_M: Array) -> Array:
    """Return the replicates shifted so that their mean is the metric's value.

    Resampled samples repeat each other: pass@k of them is lower on average, and agreement higher. The spread of the
    replicates is of use, and their mean is not.
    """
    return np.asarray(replicates_RM - np.nanmean(replicates_RM, axis=0) + values_M)
