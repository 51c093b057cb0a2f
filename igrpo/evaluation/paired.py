"""Difference of two models on the same questions: its interval, and a paired permutation test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.special import ndtri, stdtrit

#: Most additions that the exact test may take (seconds of one core); beyond it signs are drawn.
EXACT_COST = 2_000_000_000
#: Number of draws of all signs.
DRAWS = 100_000
_DRAWS_AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean over ``questions`` of first - second, with its interval and the p-value of no difference.

    ``standard_error`` is that over questions (None for a single one). ``exact``: p is over all signs, not drawn ones.
    """

    difference: float
    low: float
    high: float
    standard_error: float | None
    p: float
    exact: bool
    questions: int


def paired_difference(
    right_Q: Sequence[tuple[int, int]], samples: tuple[int, int], *, seed: int = 0, level: float = 0.95
) -> PairedDifference:
    """Compare the accuracies of two models that answered the same questions.

    Args:
        right_Q: number of right samples of the first and of the second model, per question.
        samples: number of samples per question of each model.
        seed: seed of the signs, if they are drawn.
        level: level of the interval.

    Raises:
        ValueError: no questions, or more right samples than there are samples.
    """
    first, second = samples
    if not right_Q:
        raise ValueError("there are no questions to compare two models on")
    if any(not (0 <= a <= first and 0 <= b <= second) for a, b in right_Q):
        raise ValueError(f"a question has more right samples than samples ({first} and {second})")
    exact_Q = [Fraction(a, first) - Fraction(b, second) for a, b in right_Q]
    differences = [float(one) for one in exact_Q]
    low, high = difference_interval(differences, min(samples), level)
    p, exact = sign_flip_p(exact_Q, seed=seed)
    q = len(differences)
    error = float(np.std(differences, ddof=1) / math.sqrt(q)) if q > 1 else None
    return PairedDifference(float(sum(exact_Q) / q), low, high, error, p, exact, q)


def difference_interval(differences_Q: Sequence[float], samples: int, level: float = 0.95) -> tuple[float, float]:
    """Return a confidence interval for the mean of paired differences, each in [-1, 1].

    It is Student's interval over questions, widened as Agresti and Min (2005) do for pairs of single answers: two
    questions are added on which the models differ by as much in either direction and not at all. That holds where few
    questions differ. Their weight is that of one answer out of ``samples``. If all differences are equal, their spread
    cannot be estimated, and the weight is that of a whole question, so that the width is never 0. For a single question
    the normal quantile replaces Student's.

    Args:
        differences_Q: differences of shares, one per question.
        samples: number of samples per question; the smaller one of the two models.
        level: level of the interval.
    """
    q = len(differences_Q)
    mean = math.fsum(differences_Q) / q
    equal = all(math.isclose(one, differences_Q[0], abs_tol=1e-12) for one in differences_Q)
    added = 1.0 if equal else 1.0 / samples
    total = math.fsum(differences_Q)
    squares = math.fsum(one * one for one in differences_Q) + added - total * total / (q + 2)
    tail = 0.5 + level / 2
    t = float(stdtrit(q - 1, tail) if q > 1 else ndtri(tail))
    centre = total / (q + 2)
    half = t * math.sqrt(max(squares, 0.0)) / (q + 2)
    return max(min(centre - half, mean), -1.0), min(max(centre + half, mean), 1.0)


def sign_flip_p(differences_Q: Sequence[Fraction], *, seed: int = 0) -> tuple[float, bool]:
    """Return the two-sided p-value of a paired permutation test, and whether it is exact.

    If the models are equal on every question, each difference is as likely as its negative. p is the probability, over
    independent signs, of a sum at least as far from 0 as the observed one (Fisher 1935, section 21; Pitman 1937). All
    signs are counted, by the distribution of the sum of the questions that get a plus: the differences are whole
    numbers of a common unit. Only if that is too long (`EXACT_COST`), `DRAWS` sets of signs are drawn, and p is
    (1 + as far) / (1 + draws). It is never 0.
    """
    unit = math.lcm(*(one.denominator for one in differences_Q))
    sizes = [abs(int(one * unit)) for one in differences_Q if one]
    observed = abs(int(sum(differences_Q, Fraction(0)) * unit))
    if len(sizes) * sum(sizes) <= EXACT_COST:
        return _exact_p(sizes, observed), True
    return _drawn_p(np.array(sizes, dtype=float), observed, np.random.default_rng(seed)), False


def _exact_p(sizes: Sequence[int], observed: int) -> float:
    total = sum(sizes)
    share = np.zeros(total + 1)  # [s]: probability that the questions with a plus sum to s
    share[0], reach = 1.0, 0
    for size in sizes:
        reach += size
        with_plus = share[: reach - size + 1] / 2
        share[: reach + 1] /= 2
        share[size : reach + 1] += with_plus
    as_far = np.abs(2 * np.arange(total + 1) - total) >= observed
    # The two sets of signs that are the furthest, underflow aside.
    least = max(math.ldexp(1.0, 1 - len(sizes)), np.finfo(float).tiny) if sizes else 1.0
    return min(max(float(share[as_far].sum()), least), 1.0)


def _drawn_p(sizes: np.ndarray[tuple[int], np.dtype[np.float64]], observed: int, rng: np.random.Generator) -> float:
    as_far = 0
    for _ in range(DRAWS // _DRAWS_AT_A_TIME):
        signs = 2.0 * rng.integers(2, size=(_DRAWS_AT_A_TIME, len(sizes))) - 1
        as_far += int((np.abs(signs @ sizes) >= observed).sum())  # whole numbers below 2^53: no rounding
    return (1 + as_far) / (1 + DRAWS)
