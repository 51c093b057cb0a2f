"""Comparisons that hold beyond their sampling error: what the alarms decide by.

The values of a window of steps scatter; their mean has the standard error ``s / sqrt(n)``. A difference of two means is
beyond a threshold when its lower confidence bound is: at a difference of just the threshold, that is wrong in one look
of a hundred, and further below it in next to none. The bound is Welch's, since the two windows may scatter differently;
where each side has an interval of its own, the bound is Newcombe's (the sum of the squares of the facing half-widths).
A trend within a window adds to its scatter, which makes the comparison more careful.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Final

#: How often a comparison may be wrong where the truth is just at its threshold.
LEVEL: Final = 0.01


@dataclass(frozen=True, slots=True)
class SamplingError:
    """A mean, the variance of its error to either side, and the degrees of freedom of that (infinite: it is known)."""

    value: float
    below: float
    above: float
    freedom: float

    @classmethod
    def of_steps(cls, values: Sequence[float], window: int) -> SamplingError:
        """The mean of the values of up to ``window`` steps.

        A window of one step says nothing of its error: it is taken as it is. In a longer one that has only one value
        yet, the error is unknown.
        """
        if len(values) > 1:
            error = variance(values) / len(values)
            return cls(fmean(values), error, error, len(values) - 1)
        error = 0.0 if window == 1 else math.inf
        return cls(values[0], error, error, math.inf)

    @classmethod
    def with_interval(cls, value: float, low: float | None, high: float | None) -> SamplingError:
        """A value with its 95 % interval, which need not be symmetric; without one it is exact."""
        below, above = (0.0 if end is None else ((end - value) / 1.96) ** 2 for end in (low, high))
        return cls(value, below, above, math.inf)


def is_above(
    upper: SamplingError, lower: SamplingError, *, factor: float = 1.0, margin: float = 0.0, choices: int = 1
) -> bool:
    """Return whether ``upper > factor * lower + margin`` beyond the sampling error of both.

    ``choices``: ``upper`` is the largest of so many estimates, and so likely to be too large.
    """
    excess = upper.value - factor * lower.value - margin
    parts = [(upper.below, upper.freedom), (factor**2 * lower.above, lower.freedom)]
    error = math.sqrt(sum(part for part, _ in parts))
    return excess > 0 and excess > _quantile(parts, 1 - LEVEL / choices) * error


def _quantile(parts: Sequence[tuple[float, float]], level: float) -> float:
    """Quantile of Student's distribution with Welch's degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    total = sum(part for part, _ in parts)
    if total == 0 or math.isinf(total):
        return 1.0
    inverse = sum((part / total) ** 2 / freedom for part, freedom in parts)
    return float(ndtri(level)) if inverse == 0 else float(stdtrit(1 / inverse, level))
