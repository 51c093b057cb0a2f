"""Estimators that depend on the number of right samples of a question: pass@k, worst@k, G-Pass@k and mG-Pass@k.

Each is a table over c = 0..n, the number of right ones among the n samples of a question, and its value is the mean of
the table's entries over questions. All are unbiased: the k samples are thought of as drawn from the n without
replacement, so that the number of right ones among them is hypergeometric.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]


def pass_table(n: int, k: int) -> Table:
    """Return pass@k by c, shape (n + 1,): the probability that at least one of k samples is right.

    Source: Chen et al. 2021, arXiv 2107.03374, Eq. 1.

    Raises:
        ValueError: ``k`` is not between 1 and n.
    """
    return at_least_table(n, k, 1)


def worst_table(n: int, k: int) -> Table:
    """Return worst@k by c, shape (n + 1,): the probability that all of k samples are right (also called pass^k).

    Source: Yao et al. 2024, arXiv 2406.12045.

    Raises:
        ValueError: ``k`` is not between 1 and n.
    """
    return at_least_table(n, k, k)


def g_pass_table(n: int, k: int, tau: float) -> Table:
    """Return G-Pass@k_tau by c, shape (n + 1,): the probability that at least ceil(tau k) of k samples are right.

    At least one must be right, also at tau = 0 (which is pass@k then). Tau = 1 is worst@k. Source: Liu et al. 2024,
    arXiv 2412.13147.

    Raises:
        ValueError: ``k`` is not between 1 and n, or ``tau`` not between 0 and 1.
    """
    if not 0.0 <= tau <= 1.0:
        raise ValueError(f"tau={tau} must be between 0 and 1, for example 0.5")
    return at_least_table(n, k, max(1, math.ceil(tau * k - 1e-9)))  # 0.28 * 25 is 7.000000000000001


def mg_pass_table(n: int, k: int) -> Table:
    """Return mG-Pass@k by c, shape (n + 1,): twice the integral of G-Pass@k_tau over tau from 0.5 to 1.

    Source: Liu et al. 2024, arXiv 2412.13147. G-Pass@k_tau is constant between multiples of 1 / k, so the integral
    is a sum. For an even k it is the sum that the source computes. For an odd k that sum leaves out the
    half step from 0.5 to (k + 1) / (2 k), which is included here: mG-Pass@1 is the accuracy, and not 0.

    Raises:
        ValueError: ``k`` is not between 1 and n.
    """
    above_half = range(k // 2 + 1, k + 1)
    halves = np.array([min(2, 2 * i - k) for i in above_half])  # widths of the steps in units of 1 / (2 k)
    table: Table = halves @ np.stack([at_least_table(n, k, i) for i in above_half]) / k
    return table


@lru_cache(maxsize=1024)
def at_least_table(n: int, k: int, least: int) -> Table:
    """Return the probability, by c, that at least ``least`` of ``k`` samples are right, shape (n + 1,).

    Raises:
        ValueError: ``k`` is not between 1 and n, or ``least`` not between 1 and k.
    """
    if not 1 <= k <= n:
        raise ValueError(f"k={k} must be between 1 and {n}, the number of samples per question")
    if not 1 <= least <= k:
        raise ValueError(f"least={least} must be between 1 and k={k}")
    subsets = math.comb(n, k)  # exact integers: no rounding before the one division
    table = np.array([_subsets_with(n, c, k, least) / subsets for c in range(n + 1)])
    table.setflags(write=False)
    return table


def _subsets_with(n: int, c: int, k: int, least: int) -> int:
    """Return the number of subsets of k samples with at least ``least`` of the c right ones."""
    lowest = max(least, k - (n - c))
    return sum(math.comb(c, i) * math.comb(n - c, k - i) for i in range(lowest, min(c, k) + 1))
