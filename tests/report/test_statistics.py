"""The report's statistics against hand arithmetic, independent formulas, invariances and simulated power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from igrpo.report.intervals import Array, crossed_terms, half_width, mean_squares
from igrpo.report.statistics import (
    Estimate,
    bootstrap_interval,
    crossed_estimate,
    effect_size,
    holm,
    minimum_detectable_effect,
    p_better,
    planned_minimum_detectable_effect,
    seeds_needed,
    two_sided_p,
)

#: 2 seeds x 3 problems, mean 4; seeds' means 3 and 5, problems' means 2, 4 and 6.
#: MS_S = 3 ((3-4)^2 + (5-4)^2) / 1 = 6; MS_Q = 2 ((2-4)^2 + 0 + (6-4)^2) / 2 = 8.
#: Residuals y - seed's - problem's + 4: 1-3-2+4 = 0, 2-3-4+4 = -1, 6-3-6+4 = 1; 0, 1, -1. MS_E = 4 / (1 x 2) = 2.
HAND = [[1.0, 2.0, 6.0], [3.0, 6.0, 6.0]]

# Shares of 8 samples, so that sums are exact and equal values are equal.
matrices = arrays(
    np.float64, st.tuples(st.integers(2, 5), st.integers(2, 9)), elements=st.integers(-8, 8).map(lambda n: n / 8)
)


def fields(estimate: Estimate) -> tuple[float, ...]:
    return (estimate.mean, estimate.low, estimate.high, estimate.standard_error, estimate.degrees_of_freedom)


def test_two_way_analysis_of_variance_by_hand() -> None:
    assert [float(square) for square in mean_squares(HAND)] == pytest.approx([6.0, 8.0, 2.0])
    found = crossed_estimate(HAND)
    assert found.mean == pytest.approx(4.0)
    # 6 / 6 with 1 degree of freedom and (8 - 2) / 6 with 2; of the sum 2 half each: 1 / (1/2 + 1/4) = 4/3
    assert found.terms == (pytest.approx((1.0, 1.0)), pytest.approx((1.0, 2.0)))
    assert found.standard_error == pytest.approx(math.sqrt(2.0))
    assert found.degrees_of_freedom == pytest.approx(4 / 3)
    # a: (6 - 2) / 3, b: (8 - 2) / 2, e: 2
    assert (found.seed_sd, found.problem_sd, found.residual_sd) == pytest.approx(
        (math.sqrt(4 / 3), math.sqrt(3.0), math.sqrt(2.0))
    )
    half = math.sqrt(12.7062**2 + 4.3027**2)  # Student's 97.5 % points at 1 and 2
    assert (found.low, found.high) == pytest.approx((4 - half, 4 + half), rel=1e-5)
    assert (found.seeds, found.problems) == (2, 3)


@pytest.mark.parametrize(
    ("squares", "seeds", "problems"),
    [
        # Problems below the residual: the seeds' means alone, 4 / (3 x 50).
        ((4.0, 0.5, 1.0), 4.0, 0.0),
        # Seeds below the residual are left whole.
        ((0.5, 3.0, 1.0), 0.5, 2.0),
        # Seeds' means coincide: a tenth of the residual.
        ((0.0, 0.9, 1.0), 0.1, 0.0),
    ],
)
def test_where_a_mean_square_is_small(squares: tuple[float, float, float], seeds: float, problems: float) -> None:
    found = crossed_terms(*squares, seeds=3, problems=50)
    assert [(float(variance), df) for variance, df in found] == [
        pytest.approx((seeds / 150, 2)), pytest.approx((problems / 150, 49))
    ]  # fmt: skip
    swapped = crossed_terms(squares[1], squares[0], squares[2], seeds=50, problems=3)
    assert swapped == found


def test_mean_squares_of_a_batch() -> None:
    batch = np.random.default_rng(0).normal(size=(4, 3, 7))
    together = mean_squares(batch)
    for i, one in enumerate(batch):
        assert [float(square[i]) for square in together] == pytest.approx(
            [float(square) for square in mean_squares(one)]
        )


def test_without_problem_effects_it_is_the_t_test_of_seeds() -> None:
    # Every problem has the same mean over seeds, so that MS_Q is 0.
    seeds, noise = np.array([[0.1], [0.25], [0.4]]), np.array([[1.0, -1, 0], [0, 1, -1], [-1, 0, 1]]) / 8
    found = crossed_estimate(seeds + noise)
    test = stats.ttest_1samp((seeds + noise).mean(axis=1), 0.0)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert two_sided_p(found) == pytest.approx(test.pvalue)


@pytest.mark.parametrize("as_seeds", [True, False])
def test_a_single_row_or_column_is_the_t_test_of_one_sample(as_seeds: bool) -> None:
    values = np.array([0.25, 0.5, 0.0, 0.75, 0.5])
    found = crossed_estimate(values[:, None] if as_seeds else values[None])
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high, found.degrees_of_freedom) == pytest.approx((interval.low, interval.high, 4))
    assert two_sided_p(found) == pytest.approx(test.pvalue)
    assert p_better(found) == pytest.approx(1 - test.pvalue / 2)  # the mean is above 0
    sd = float(values.std(ddof=1))
    known, unknown = (found.seed_sd, found.problem_sd) if as_seeds else (found.problem_sd, found.seed_sd)
    assert known == pytest.approx(sd)
    assert unknown is None
    assert found.residual_sd is None


@given(matrices, st.data())
def test_order_does_not_matter(values_SQ: Array, data: st.DataObject) -> None:
    rows = data.draw(st.permutations(range(values_SQ.shape[0])))
    columns = data.draw(st.permutations(range(values_SQ.shape[1])))
    shuffled = values_SQ[rows][:, columns]
    assert fields(crossed_estimate(shuffled)) == pytest.approx(fields(crossed_estimate(values_SQ)), abs=1e-9)


@given(matrices)
def test_swapping_the_conditions_negates(values_SQ: Array) -> None:
    one, other = crossed_estimate(values_SQ), crossed_estimate(-values_SQ)
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low), abs=1e-9)
    assert two_sided_p(other) == pytest.approx(two_sided_p(one), abs=1e-9)
    assert p_better(other) == pytest.approx(1 - p_better(one), abs=1e-9)


@given(matrices.filter(lambda values: np.ptp(values) > 0), st.integers(-4, 4), st.sampled_from([0.5, 2.0, 3.0]))
def test_a_constant_shifts_and_a_factor_scales(values_SQ: Array, shift: int, factor: float) -> None:
    one, other = crossed_estimate(values_SQ), crossed_estimate(values_SQ * factor + shift)
    expected = [factor * x + shift for x in (one.mean, one.low, one.high)]
    assert (other.mean, other.low, other.high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("value", [0.25, 0.5])
def test_a_constant_shifts_equal_values(value: float) -> None:
    one, other = crossed_estimate(np.zeros((3, 20))), crossed_estimate(np.full((3, 20), value))
    assert (other.low - value, other.high - value) == pytest.approx((one.low, one.high))


@given(matrices.filter(lambda values: values.shape[0] != values.shape[1]))
def test_seeds_and_problems_play_the_same_part(values_SQ: Array) -> None:
    # But for equal values, whose rule is about problems.
    if np.ptp(values_SQ) > 0:
        assert fields(crossed_estimate(values_SQ.T)) == pytest.approx(fields(crossed_estimate(values_SQ)), abs=1e-9)


@given(matrices, st.sampled_from([0.8, 0.95, 0.99]))
def test_p_is_small_exactly_where_the_interval_excludes_0(values_SQ: Array, level: float) -> None:
    found = crossed_estimate(values_SQ, level)
    p = two_sided_p(found)
    if abs(p - (1 - level)) > 1e-6:
        assert (p < 1 - level) == (not found.low <= 0 <= found.high)


@given(matrices)
def test_width_and_degrees_of_freedom_stay_in_bounds(values_SQ: Array) -> None:
    found, wider = crossed_estimate(values_SQ), crossed_estimate(values_SQ, 0.99)
    assert 0 < found.high - found.low < wider.high - wider.low or np.ptp(values_SQ) == 0
    seeds, problems = values_SQ.shape
    assert min(seeds, problems) - 1 - 1e-9 <= found.degrees_of_freedom <= max(seeds, problems) - 1 + 1e-9
    assert min(found.seed_sd or 0.0, found.problem_sd or 0.0, found.residual_sd or 0.0) >= 0


@pytest.mark.parametrize("value", [0.0, 1.0, -0.25])
@pytest.mark.parametrize(("shape", "units"), [((3, 40), 40), ((1, 40), 40), ((5, 1), 5)])
def test_equal_values_leave_room_for_what_was_not_seen(value: float, shape: tuple[int, int], units: int) -> None:
    found = crossed_estimate(np.full(shape, value))
    half = (found.high - found.low) / 2
    assert (1 - half) ** units == pytest.approx(0.05)  # the chance that units draws miss a share `half` of others
    assert found.mean == value
    assert two_sided_p(found) == pytest.approx(1.0) if value == 0 else two_sided_p(found) < 1
    assert (found.seed_sd, found.problem_sd) == (None if shape[0] == 1 else 0.0, None if shape[1] == 1 else 0.0)


def test_equal_but_for_rounding_is_equal() -> None:
    differences = np.array([[0.6 - 0.4, 0.8 - 0.6], [0.4 - 0.2, 0.2 - 0.0]])
    assert np.ptp(differences) > 0
    assert crossed_estimate(differences).low == pytest.approx(crossed_estimate(np.full((2, 2), 0.2)).low)


def test_seeds_whose_means_coincide_do_not_make_it_certain() -> None:
    found = crossed_estimate([[0.5, 0.0, 0.25, 0.25], [0.0, 0.5, 0.25, 0.25]])
    assert found.seed_sd == 0.0
    assert found.low < 0.2
    assert found.high > 0.3


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        ([[0.5]], 0.95, r"matrix of seeds x problems with 2 values or more, and the shape is \(1, 1\)"),
        ([0.5, 1.0], 0.95, r"the shape is \(2,\)"),
        ([[0.5, math.nan]], 0.95, "must be finite"),
        ([[0.5, 1.0]], 95, "level=95 "),
    ],
)
def test_what_has_no_interval(values: list[float], level: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crossed_estimate(values, level)
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, level)


def test_effect_size_by_hand() -> None:
    # Seeds' means 3 and 5: mean 4, sd sqrt(2)
    assert effect_size(HAND) == pytest.approx(4 / math.sqrt(2))
    assert effect_size(HAND[:1]) is None
    assert effect_size([[0.0, 1.0], [1.0, 0.0]]) is None


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04: x4 = .04, x3 = .06, x2 = .06, x1 = .04 -> .06 (no less than the one before)
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    # .5 x 2 = 1, .9 -> 1; a p of .6 twice is 1.2 -> 1
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([0.6, 0.6]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_at_most_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1.0, len(p_values) * p)
    assert min(adjusted) == min(1.0, len(p_values) * min(p_values))
    ordered = [adjusted[i] for i in sorted(range(len(p_values)), key=lambda i: p_values[i])]
    assert ordered == sorted(ordered)


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(ValueError, match=r"1\.5 does not"):
        holm([0.5, 1.5])


def test_bootstrap_of_two_seeds_by_enumeration() -> None:
    # Two seeds, problems alike: a resample has mean 0, 1/2 or 1 with probability 1/4, 1/2, 1/4.
    values = [[0.0] * 5, [1.0] * 5]
    assert bootstrap_interval(values) == (0.0, 1.0)
    assert bootstrap_interval(values, level=0.4) == (0.5, 0.5)  # 30 % to 70 %
    # Two problems, seeds alike: the same the other way round.
    assert bootstrap_interval([[0.0, 1.0]] * 3) == (0.0, 1.0)


def test_bootstrap_spread_is_the_known_variance() -> None:
    # Var* of the mean under independent draws of S seeds and Q problems: for D = a_s + b_q it is
    # var_0(a) / S + var_0(b) / Q, with var_0 the mean square around the mean.
    a, b = np.array([0.0, 0.3, 0.4, 0.9]), np.linspace(-1, 1, 60)
    low, high = bootstrap_interval(a[:, None] + b, level=0.6827, resamples=20_000)
    # One sd of a nearly normal mean; 20,000 resamples know it to 0.7 %, and its shape differs a little from normal.
    assert (high - low) / 2 == pytest.approx(math.sqrt(a.var() / 4 + b.var() / 60), rel=0.03)


def test_bootstrap_repeats() -> None:
    values = np.random.default_rng(0).normal(size=(3, 30))
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    with pytest.raises(ValueError, match="resamples=0"):
        bootstrap_interval(values, resamples=0)


def test_detectable_effect_against_the_noncentral_t() -> None:
    # 6 problems at one seed: 5 degrees of freedom, standard error sqrt(0.35 / 5 / 6).
    found = crossed_estimate([[0.0, 0.5, 0.0, 0.5, 0.0, 0.5]])
    effect = minimum_detectable_effect(found, power=0.9) / found.standard_error
    assert stats.nct.sf(stats.t.ppf(0.975, 5), 5, effect) == pytest.approx(0.9, abs=1e-4)
    # Many degrees of freedom: z_.975 + z_.8 = 1.960 + 0.842
    many = crossed_estimate(np.tile([0.0, 1.0], 5000)[None])
    assert minimum_detectable_effect(many) / many.standard_error == pytest.approx(1.95996 + 0.84162, rel=1e-3)


def rejections(values_RSQ: Array, level: float = 0.95) -> float:
    """The share of matrices whose interval lies above 0."""
    terms = crossed_terms(*mean_squares(values_RSQ), seeds=values_RSQ.shape[1], problems=values_RSQ.shape[2])
    return float((values_RSQ.mean((1, 2)) > half_width(terms, level)).mean())


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_power_at_the_detectable_effect(seeds: int) -> None:
    # Seeds alone vary, where t is exact: 80 %, and 4000 draws have an error of 0.6 points (3 of them).
    draw = np.random.default_rng(seeds)
    a_RS1, e_RSQ = draw.normal(size=(4000, seeds, 1)), draw.normal(size=(4000, seeds, 8)) * 1e-3
    exact = Estimate(0.0, 0.0, 0.0, ((1 / seeds, seeds - 1.0),), seeds, 8, 1.0, 0.0, 0.0)
    effect = minimum_detectable_effect(exact)
    assert rejections(effect + a_RS1 + e_RSQ) == pytest.approx(0.8, abs=0.019)
    # The shortcut t + t_power falls short of it where degrees of freedom are few.
    shortcut = float(stats.t.ppf(0.975, seeds - 1) + stats.t.ppf(0.8, seeds - 1)) / math.sqrt(seeds)
    assert shortcut < effect


def answers(plan: tuple[int, int, int, float, float, float]) -> Array:
    """Differences [2000, S, Q] as the plan assumes them, true mean 0. Difficulties are Beta with a + b = 2; the second
    condition has those of the first with probability ``correlation``, else new ones: that is their correlation."""
    seeds, problems, samples, accuracy, seed_sd, correlation = plan
    draw = np.random.default_rng([seeds, problems])
    first, new = (draw.beta(2 * accuracy, 2 - 2 * accuracy, size=(2000, 1, problems)) for _ in range(2))
    second = np.where(draw.random(first.shape) < correlation, first, new)
    shape = (2000, seeds, problems)
    right = [draw.binomial(samples, np.broadcast_to(p, shape)) / samples for p in (first, second)]
    return np.asarray(right[1] - right[0] + seed_sd * draw.normal(size=(2000, seeds, 1)))


PLANS = [
    # seeds, problems, samples, accuracy, seed_sd, problem_correlation
    (3, 100, 4, 0.5, 0.0, 0.9),
    (3, 100, 4, 0.5, 0.04, 0.9),
    (5, 200, 1, 0.8, 0.02, 0.5),
    (10, 50, 8, 0.5, 0.0, 0.0),
]


@pytest.mark.parametrize("family", [1, 13])
@pytest.mark.parametrize("plan", PLANS)
def test_planned_standard_error_and_power(plan: tuple[int, int, int, float, float, float], family: int) -> None:
    names = ("seeds", "problems", "samples", "accuracy", "seed_sd", "problem_correlation")
    level = 1 - 0.05 / family
    effect = planned_minimum_detectable_effect(**dict(zip(names, plan, strict=True)), level=level)  # type: ignore[arg-type]
    values = answers(plan)
    seeds, problems, samples, accuracy, seed_sd, correlation = plan
    spread = accuracy * (1 - accuracy)
    variance = seed_sd**2 / seeds
    variance += 2 * spread * (1 - correlation) / 3 / problems
    variance += 2 * spread * 2 / 3 / samples / (seeds * problems)
    # 2000 draws know a variance to 3.2 % (sqrt(2 / 2000)); 3 of these.
    assert values.mean((1, 2)).var() == pytest.approx(variance, rel=0.095)
    # Answers are not Gaussian: 80 % to within 5 points (2.7 of them Monte Carlo error, 3 times 0.9).
    assert rejections(values + effect, level) == pytest.approx(0.8, abs=0.05)
    assert rejections(values + 0.6 * effect, level) < 0.6


def test_more_of_anything_detects_less() -> None:
    base = {"seeds": 3, "problems": 100, "samples": 4, "seed_sd": 0.02}
    effect = planned_minimum_detectable_effect(**base)  # type: ignore[arg-type]
    for change in ({"seeds": 5}, {"problems": 200}, {"samples": 8}, {"seed_sd": 0.0}, {"power": 0.5}, {"level": 0.8}):
        assert planned_minimum_detectable_effect(**(base | change)) < effect


def drawn(seeds: int, problems: int, sds: tuple[float, float, float]) -> Estimate:
    """An estimate from normal effects of seeds, problems and residual, drawn with a fixed seed."""
    draw = np.random.default_rng(3)
    a, b, e = (
        sd * draw.standard_normal(size)
        for sd, size in zip(sds, ((seeds, 1), (1, problems), (seeds, problems)), strict=True)
    )
    return crossed_estimate(a + b + e)


def test_the_seeds_that_an_effect_takes() -> None:
    found = drawn(5, 100, (0.05, 0.1, 0.3))
    effect = minimum_detectable_effect(found)
    assert seeds_needed(found, effect * 1.001) == 5  # what these five detect takes five
    needed = seeds_needed(found, effect / 2)
    assert needed is not None
    # half the effect takes nearly four times the seeds, less what the larger degrees of freedom give back
    assert 10 <= needed <= 22
    assert (seeds_needed(found, effect / 2, level=0.99) or 0) > needed
    assert seeds_needed(found, 0.9) == 3


def test_no_number_of_seeds_averages_out_the_problems() -> None:
    found = drawn(5, 20, (0.0, 0.4, 0.1))
    assert seeds_needed(found, 0.05) is None
    assert seeds_needed(crossed_estimate(np.zeros((3, 10))), 0.05) is None  # no spread was seen: as wide with any seeds
    assert seeds_needed(crossed_estimate(np.zeros((3, 1000))), 0.05) == 2
    with pytest.raises(ValueError, match="one seed"):
        seeds_needed(crossed_estimate([[0.5, 0.25, 1.0]]), 0.05)
    with pytest.raises(ValueError, match="effect=0"):
        seeds_needed(found, 0)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seeds", 1),
        ("problems", 1),
        ("samples", 0),
        ("accuracy", 1.0),
        ("seed_sd", -0.1),
        ("problem_correlation", 1.1),
        ("power", 1.0),
        ("power", 0.02),
        ("level", 0.0),
    ],
)
def test_a_plan_out_of_range(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{setting}={value}"):
        planned_minimum_detectable_effect(**({"seeds": 3, "problems": 100, "samples": 4} | {setting: value}))  # type: ignore[arg-type]
