"""Comparisons that account for sampling error, used by the alarms.

The mean of the values of a window of n steps has the standard error ``s / sqrt(n)``. A difference of two means exceeds
a threshold if its lower confidence bound does. If the true difference equals the threshold, this is wrong in one
comparison of a hundred; if it is well below the threshold, in almost none. The bound is Welch's, since the two windows
may have different variances. If each side has its own interval, the bound is Newcombe's (the sum of the squares of the
facing half-widths). A trend within a window increases its variance, which makes the comparison more conservative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Final

#: Probability of a wrong comparison if the true difference equals the threshold.
LEVEL: Final = 0.01


@dataclass(frozen=True, slots=True)
class SamplingError:
    """Mean with the variance of its error on each side, and that variance's degrees of freedom (infinite: known)."""

    value: float
    below: float
    above: float
    freedom: float

    @classmethod
    def of_steps(cls, values: Sequence[float], window: int) -> SamplingError:
        """Return the mean of the values of up to ``window`` steps.

        With a window of one step, the error cannot be estimated, and the value is treated as exact. With a longer
        window that has only one value so far, the error is infinite.
        """
        if len(values) > 1:
            error = variance(values) / len(values)
            return cls(fmean(values), error, error, len(values) - 1)
        error = 0.0 if window == 1 else math.inf
        return cls(values[0], error, error, math.inf)

    @classmethod
    def with_interval(cls, value: float, low: float | None, high: float | None) -> SamplingError:
        """Return a value with its 95 % interval, which need not be symmetric. Without an interval, it is exact."""
        below, above = (0.0 if end is None else ((end - value) / 1.96) ** 2 for end in (low, high))
        return cls(value, below, above, math.inf)


def is_above(
    upper: SamplingError, lower: SamplingError, *, factor: float = 1.0, margin: float = 0.0, choices: int = 1
) -> bool:
    """Return whether ``upper > factor * lower + margin`` beyond the sampling error of both.

    ``choices`` is the number of estimates of which ``upper`` is the largest, and therefore likely too large.
    """
    excess = upper.value - factor * lower.value - margin
    parts = [(upper.below, upper.freedom), (factor**2 * lower.above, lower.freedom)]
    error = math.sqrt(sum(part for part, _ in parts))
    return excess > 0 and excess > _quantile(parts, 1 - LEVEL / choices) * error


def _quantile(parts: Sequence[tuple[float, float]], level: float) -> float:
    """Return a quantile of Student's distribution with Welch's degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    total = sum(part for part, _ in parts)
    if total == 0 or math.isinf(total):
        return 1.0
    inverse = sum((part / total) ** 2 / freedom for part, freedom in parts)
    return float(ndtri(level)) if inverse == 0 else float(stdtrit(1 / inverse, level))
