"""Aggregates of scores over runs and tasks with stratified bootstrap intervals, as rliable defines them.

Source: Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice (arXiv 2108.13264).
``scores_RM`` has R runs (seeds) of each of M tasks. The bootstrap draws the runs of each task anew, with replacement
and independently of the other tasks; the tasks stay. Its intervals therefore are about other seeds, and not about other
tasks. Percentile intervals of few seeds are too narrow (see `igrpo.report.intervals.bootstrap_interval`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

#: Resamples that are held in memory at once.
_AT_ONCE = 500


def interquartile_mean(scores_RM: ArrayLike) -> float:
    """Return the mean of the middle half of all R M scores: a quarter is cut off at each end, rounded down."""
    return float(stats.trim_mean(_matrix(scores_RM), 0.25, axis=None))


def performance_profile(scores_RM: ArrayLike, thresholds_T: ArrayLike) -> Array:
    """Return the share of all R M scores that are above each of T thresholds."""
    scores = np.sort(_matrix(scores_RM), axis=None)
    return 1 - np.searchsorted(scores, np.asarray(thresholds_T, dtype=np.float64), side="right") / scores.size


def probability_of_improvement(first_RM: ArrayLike, second_RM: ArrayLike) -> float:
    """Return the probability that a run of the second beats a run of the first on the same task, mean over the tasks.

    Equal scores count one half. The two may have different numbers of runs.

    Raises:
        ValueError: they have different numbers of tasks.
    """
    first, second = _matrix(first_RM), _matrix(second_RM)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"{first.shape[1]} and {second.shape[1]} tasks: both methods need scores on the same tasks")
    difference_RRM = second[:, None, :] - first[None, :, :]
    return float(((difference_RRM > 0) + 0.5 * (difference_RRM == 0)).mean())


def stratified_interval(
    statistic: Callable[..., ArrayLike], *scores_RM: ArrayLike, resamples: int, seed: int = 0, level: float = 0.95
) -> tuple[Array, Array]:
    """Return the percentile interval of a statistic of one or more matrices of scores, each drawn anew by task.

    ``statistic`` takes the matrices in order, and may return an array: the ends then have its shape. The same arguments
    give the same interval.

    Raises:
        ValueError: ``resamples`` is below 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1, for example 2000")
    draw = np.random.default_rng(seed)
    matrices = [_matrix(scores) for scores in scores_RM]
    drawn = np.asarray([np.asarray(statistic(*one), dtype=np.float64) for one in _resampled(matrices, resamples, draw)])
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return low, high


def _resampled(matrices: list[Array], resamples: int, draw: np.random.Generator) -> Iterator[list[Array]]:
    for start in range(0, resamples, _AT_ONCE):
        count = min(_AT_ONCE, resamples - start)
        chosen = [draw.integers(len(scores), size=(count, *scores.shape)) for scores in matrices]
        for i in range(count):
            yield [np.take_along_axis(scores, one[i], axis=0) for scores, one in zip(matrices, chosen, strict=True)]


def _matrix(scores_RM: ArrayLike) -> Array:
    scores = np.asarray(scores_RM, dtype=np.float64)
    if scores.ndim != 2 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(
            f"scores must be a matrix of runs x tasks of finite numbers, and their shape is {scores.shape}"
        )
    return scores
