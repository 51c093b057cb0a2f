"""Estimators by the number of right samples: against all subsets, by hand, and against each other."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from igrpo.evaluation.right_counts import g_pass_table, mg_pass_table, pass_table, worst_table

n_and_k = st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


def right_in_subsets(n: int, c: int, k: int) -> list[int]:
    """The number of right ones in every subset of k of n samples, c of them right."""
    return [sum(subset) for subset in combinations([True] * c + [False] * (n - c), k)]


@settings(deadline=None)
@given(n_and_k, st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 1.0]))
def test_tables_are_means_over_all_subsets(sizes: tuple[int, int], tau: float) -> None:
    n, k = sizes
    for c in range(n + 1):
        counts = right_in_subsets(n, c, k)
        assert pass_table(n, k)[c] == pytest.approx(fmean(right >= 1 for right in counts))
        assert worst_table(n, k)[c] == pytest.approx(fmean(right == k for right in counts))
        needed = max(1, math.ceil(tau * k))
        assert g_pass_table(n, k, tau)[c] == pytest.approx(fmean(right >= needed for right in counts))


@settings(deadline=None)
@given(n_and_k)
def test_mg_pass_is_the_integral(sizes: tuple[int, int]) -> None:
    n, k = sizes
    steps = [i / k for i in range(k + 1) if i / k > 0.5]
    for c in range(n + 1):
        total, start = 0.0, 0.5
        for end in steps:  # G-Pass is constant in between: the midpoint rule is exact
            total += (end - start) * g_pass_table(n, k, (start + end) / 2)[c]
            start = end
        assert mg_pass_table(n, k)[c] == pytest.approx(2 * total)


def test_mg_pass_by_quadrature() -> None:
    found, _ = integrate.quad(lambda tau: g_pass_table(16, 8, tau)[9], 0.5, 1, points=[5 / 8, 6 / 8, 7 / 8], limit=200)
    assert mg_pass_table(16, 8)[9] == pytest.approx(2 * found, abs=1e-6)


def test_g_pass_is_hypergeometric() -> None:
    # of 48 samples 30 are right; at least 12 of 16 drawn: the tail of a hypergeometric distribution above 11
    assert g_pass_table(48, 16, 0.75)[30] == pytest.approx(stats.hypergeom.sf(11, 48, 30, 16))
    # the sum of the source for an even k: 2/k times the tails from k/2 + 1 to k
    tails = [stats.hypergeom.sf(i - 1, 48, 30, 16) for i in range(9, 17)]
    assert mg_pass_table(48, 16)[30] == pytest.approx(2 / 16 * sum(tails))


def test_by_hand() -> None:
    # n = 4, c = 3, k = 2: of 6 pairs 3 are both right, and none is both wrong
    assert worst_table(4, 2)[3] == pytest.approx(1 / 2)
    assert pass_table(4, 2)[3] == 1.0
    assert g_pass_table(4, 2, 0.75)[3] == pytest.approx(1 / 2)  # at least 1.5, so 2
    assert mg_pass_table(4, 2)[3] == pytest.approx(1 / 2)  # from 0.5 to 1 both must be right
    # k = 3 of 4: 3 right once, 2 right three times. From 0.5 to 2/3 two are needed (always so), then three (1/4)
    assert mg_pass_table(4, 3)[3] == pytest.approx(2 * (1 / 6 * 1 + 1 / 3 * 1 / 4))


@settings(deadline=None)
@given(n_and_k)
def test_order_and_edges(sizes: tuple[int, int]) -> None:
    n, k = sizes
    tables = [worst_table(n, k), g_pass_table(n, k, 0.75), g_pass_table(n, k, 0.5), pass_table(n, k)]
    for lower, higher in pairwise(tables):
        assert (lower <= higher).all()
    for table in (*tables, mg_pass_table(n, k)):
        assert (table[0], table[n]) == (0.0, 1.0)
        assert (np.diff(table) >= 0).all()
    assert (g_pass_table(n, k, 0.0) == pass_table(n, k)).all()
    assert (g_pass_table(n, k, 1.0) == worst_table(n, k)).all()
    assert mg_pass_table(n, 1) == pytest.approx(np.arange(n + 1) / n)  # of one sample: the accuracy
    assert worst_table(n, k) == pytest.approx(1 - pass_table(n, k)[::-1])  # all right = none wrong


def test_a_share_that_rounds_up_needs_no_more() -> None:
    assert 0.28 * 25 > 7  # in floating point
    assert g_pass_table(25, 25, 0.28)[7] == 1.0


@pytest.mark.parametrize(("n", "k"), [(4, 0), (4, 5)])
def test_k_needs_samples(n: int, k: int) -> None:
    for table in (pass_table, worst_table, mg_pass_table, lambda n, k: g_pass_table(n, k, 0.5)):
        with pytest.raises(ValueError, match=r"k=\d must be between 1 and 4|least"):
            table(n, k)


def test_tau_is_a_share() -> None:
    with pytest.raises(ValueError, match="tau=50 must be between 0 and 1"):
        g_pass_table(4, 2, 50)


def test_many_samples() -> None:
    assert pass_table(256, 128)[2] == pytest.approx(1 - 128 / 256 * 127 / 255)
