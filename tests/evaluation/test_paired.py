"""Two models on the same questions: by hand, against all signs, and by simulated coverage."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from igrpo.evaluation import paired
from igrpo.evaluation.paired import difference_interval, paired_difference, sign_flip_p

fractions = st.lists(st.sampled_from([Fraction(i, d) for d in (1, 2, 3) for i in range(-d, d + 1)]), max_size=8)


def all_signs(differences: list[Fraction]) -> float:
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=len(differences))
    ]
    return sum(one >= observed for one in sums) / len(sums)


@settings(deadline=None)
@given(fractions)
def test_p_is_the_share_of_all_signs(differences: list[Fraction]) -> None:
    p, exact = sign_flip_p(differences)
    assert exact
    assert p == pytest.approx(all_signs(differences))


def test_p_by_hand() -> None:
    # five questions won, none lost: all plus or all minus, 2 of 32
    assert sign_flip_p([Fraction(1)] * 5) == (pytest.approx(2 / 32), True)
    # equal questions have no sign
    assert sign_flip_p([Fraction(1)] * 5 + [Fraction(0)] * 20)[0] == pytest.approx(2 / 32)
    assert sign_flip_p([Fraction(0)] * 3)[0] == 1.0
    # 1/2 and 1: sums 3/2, 1/2, -1/2, -3/2; observed 1/2
    assert sign_flip_p([Fraction(1), Fraction(-1, 2)])[0] == 1.0


def test_single_answers_are_mcnemars_exact_test() -> None:
    # 14 questions only the first model has right, 4 only the second: a binomial test of 14 of 18
    found = paired_difference([(1, 0)] * 14 + [(0, 1)] * 4 + [(1, 1)] * 10 + [(0, 0)] * 5, (1, 1))
    assert found.p == pytest.approx(stats.binomtest(14, 18).pvalue)
    assert found.difference == pytest.approx(10 / 33)


def test_p_is_never_zero() -> None:
    assert 0 < sign_flip_p([Fraction(1)] * 60)[0] == 2.0**-59
    assert sign_flip_p([Fraction(1)] * 1300)[0] > 0


def test_drawn_signs_agree_with_all_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    differences = [Fraction(rng.randint(-4, 6), 8) for _ in range(25)]
    exact, _ = sign_flip_p(differences)
    monkeypatch.setattr(paired, "EXACT_COST", 0)
    drawn, is_exact = sign_flip_p(differences, seed=1)
    assert not is_exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / paired.DRAWS))
    assert drawn == sign_flip_p(differences, seed=1)[0] != sign_flip_p(differences, seed=2)[0]
    sure, _ = sign_flip_p([Fraction(1)] * 200)
    assert sure == 1 / (1 + paired.DRAWS)


def test_difference_by_hand() -> None:
    # 3 of 4 against 1 of 2, 4 of 4 against 0 of 2: 1/4 and 1
    found = paired_difference([(3, 1), (4, 0)], (4, 2))
    assert found.difference == pytest.approx(5 / 8)
    assert found.standard_error == pytest.approx(3 / 8)  # half the distance of two values
    assert found.p == pytest.approx(1 / 2)  # the observed signs and their opposites, of 4
    assert found.questions == 2


def test_the_model_with_fewer_samples_decides_the_width() -> None:
    found = paired_difference([(3, 1), (2, 1)] * 10, (4, 2))
    differences = [1 / 4, 0.0] * 10
    assert (found.low, found.high) == difference_interval(differences, 2) != difference_interval(differences, 4)


def test_interval_is_agresti_and_mins_for_single_answers() -> None:
    b, c, n = 9, 3, 40
    t = stats.t.ppf(0.975, n - 1)
    centre, half = (b - c) / (n + 2), t * math.sqrt(b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2)
    found = difference_interval([1.0] * b + [-1.0] * c + [0.0] * (n - b - c), 1)
    assert found == pytest.approx((centre - half, centre + half))


def test_no_spread_is_not_certainty() -> None:
    low, high = difference_interval([0.0] * 30, 64)
    assert high == pytest.approx(stats.t.ppf(0.975, 29) / 32)
    assert low == -high
    low, high = difference_interval([1.0] * 30, 8)
    assert low < 0.95
    assert high == 1.0
    low, high = difference_interval([0.5], 4)
    assert low < 0
    assert high > 0.5


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=12))
def test_swapping_the_models_mirrors_everything(right: list[tuple[int, int]]) -> None:
    found = paired_difference(right, (4, 3))
    mirrored = paired_difference([(b, a) for a, b in right], (3, 4))
    assert mirrored.difference == -found.difference
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))
    assert mirrored.p == pytest.approx(found.p)
    assert -1 <= found.low <= found.difference <= found.high <= 1
    assert 0 < found.p <= 1


@pytest.mark.parametrize(("right", "message"), [([], "no questions"), ([(3, 0)], "more right samples than samples")])
def test_counts_that_make_no_sense(right: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(right, (2, 2))
