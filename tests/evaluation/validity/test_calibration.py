"""Calibration against definitions by hand, brute force, and answers whose calibration is known."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.evaluation.validity.calibration import calibration, equal_mass_bins
from igrpo.evaluation.validity.confidence import agreement, calibrations, grouped_as_written, grouped_by
from tests.evaluation.validity.samples import sample

_QUESTIONS = st.lists(
    st.lists(st.tuples(st.sampled_from((0.0, 0.2, 0.25, 0.5, 0.9, 1.0)), st.booleans()), min_size=1, max_size=5),
    min_size=1,
    max_size=8,
)


def _split(rows: list[list[tuple[float, bool]]]) -> tuple[list[list[float]], list[list[bool]]]:
    return [[c for c, _ in row] for row in rows], [[r for _, r in row] for row in rows]


def test_a_small_case_by_hand() -> None:
    # four distinct confidences, so each is a bin of its own: |0.1-0| + |0.4-0| + |0.6-1| + |0.9-1| = 1.0, over 4
    found = calibration([[0.1, 0.4], [0.6, 0.9]], [[False, False], [True, True]])
    assert found.ece.value == pytest.approx(0.25)
    assert found.brier.value == pytest.approx((0.01 + 0.16 + 0.16 + 0.01) / 4)
    assert found.auroc is not None
    assert found.auroc.value == 1.0  # each right answer is above each wrong one
    assert (found.confidence, found.accuracy) == (pytest.approx(0.5), 0.5)
    assert [row.samples for row in found.table] == [1, 1, 1, 1]


def test_opposite_errors_cancel_only_within_a_bin() -> None:
    # one confidence, one bin: half of the answers of confidence 0.5 are right, so nothing is wrong with it
    assert calibration([[0.5, 0.5]] * 3, [[True, False]] * 3).ece.value == 0.0
    # the same answers with confidence 1 when wrong and 0 when right: the means agree, each bin is off by 1
    assert calibration([[0.0, 1.0]] * 3, [[True, False]] * 3).ece.value == 1.0


@settings(deadline=None, max_examples=50)
@given(_QUESTIONS)
def test_auroc_is_the_probability_over_all_pairs(rows: list[list[tuple[float, bool]]]) -> None:
    answers = [answer for row in rows for answer in row]
    right, wrong = [c for c, r in answers if r], [c for c, r in answers if not r]
    found = calibration(*_split(rows)).auroc
    if not right or not wrong:
        assert found is None
        return
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(right, wrong)]
    assert found is not None
    assert found.value == pytest.approx(sum(wins) / len(wins))


@settings(deadline=None, max_examples=50)
@given(_QUESTIONS)
def test_the_table_holds_every_answer_once_and_gives_the_ece(rows: list[list[tuple[float, bool]]]) -> None:
    found = calibration(*_split(rows))
    answers = [answer for row in rows for answer in row]
    assert sum(row.samples for row in found.table) == len(answers)
    for one in found.table:
        inside = [(c, r) for c, r in answers if one.low <= c <= one.high]
        assert len(inside) == one.samples  # no confidence is in two bins
        assert one.accuracy == pytest.approx(sum(r for _, r in inside) / len(inside))
        assert one.confidence == pytest.approx(sum(c for c, _ in inside) / len(inside))
    errors = [abs(row.confidence - row.accuracy) * row.samples for row in found.table]
    assert found.ece.value == pytest.approx(sum(errors) / len(answers))


@settings(deadline=None, max_examples=50)
@given(_QUESTIONS, st.randoms(use_true_random=False))
def test_the_order_of_answers_does_not_matter(rows: list[list[tuple[float, bool]]], rng: random.Random) -> None:
    shuffled = [rng.sample(row, len(row)) for row in rows]
    one, other = calibration(*_split(rows)), calibration(*_split(shuffled))
    assert one.ece.value == pytest.approx(other.ece.value)
    assert one.table == other.table


def test_bins_have_equal_mass_without_ties() -> None:
    bins = equal_mass_bins(np.random.default_rng(0).permutation(np.linspace(0, 1, 100)), 10)
    assert np.bincount(bins).tolist() == [10] * 10


def test_intervals_hold_the_truth_for_calibrated_and_for_overconfident_answers() -> None:
    rng = random.Random(1)
    confidences = [[rng.choice((0.2, 0.5, 0.8))] * 4 for _ in range(400)]
    calibrated = calibration(confidences, [[rng.random() < c for c in row] for row in confidences])
    assert calibrated.ece.low == 0.0  # the truth, which a mean of absolute values cannot reach
    assert 0.0 < calibrated.ece.value < calibrated.ece_by_chance < 0.06
    over = calibration(confidences, [[rng.random() < c - 0.2 for c in row] for row in confidences])
    assert over.ece.low is not None
    assert over.ece.high is not None
    assert over.ece_by_chance < over.ece.value
    assert over.ece.low < 0.2 < over.ece.high
    assert over.ece.high - over.ece.low < 0.1


def test_intervals_are_by_question() -> None:
    """Sixteen copies of a sample tell no more than one."""
    rng = random.Random(2)
    single = [([c], [rng.random() < c]) for c in (rng.random() for _ in range(60))]
    copied = calibration([c * 16 for c, _ in single], [r * 16 for _, r in single])
    once = calibration([c for c, _ in single], [r for _, r in single])
    for a, b in ((once.brier, copied.brier), (once.ece, copied.ece), (once.auroc, copied.auroc)):
        assert a is not None
        assert b is not None
        assert (a.value, a.low, a.high) == (pytest.approx(b.value), pytest.approx(b.low), pytest.approx(b.high))


@pytest.mark.parametrize("confidence", [-0.1, 1.5, float("nan")])
def test_a_confidence_is_between_0_and_1(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration([[confidence]], [[True]])


def test_agreement_is_the_share_of_the_same_answer() -> None:
    assert agreement(grouped_as_written(["7", "8", "7", None])) == [0.5, 0.25, 0.5, 0.0]


def test_answers_may_be_grouped_by_equality() -> None:
    group = grouped_by(lambda one, other: float(one) == float(other))
    assert agreement(group(["1", "1.0", None, "2"])) == [0.5, 0.5, 0.0, 0.25]
    assert agreement(group([None])) == [0.0]


def test_confidences_need_what_they_are_made_of() -> None:
    single = [[sample("a", 0, answer="1", logprob=-0.5)]]
    assert set(calibrations(single, grouped_as_written)) == {"token_probability"}
    silent = [[sample("a", i, logprob=-0.5) for i in range(2)]]
    assert set(calibrations(silent, grouped_as_written)) == {"token_probability"}  # no answer agrees with none
    greedy = [[sample("a", i, answer="1", logprob=0.0) for i in range(2)]]
    assert set(calibrations(greedy, grouped_as_written)) == {"agreement"}


def test_a_token_probability_is_the_geometric_mean() -> None:
    rows = [[sample("a", 0, answer="1", correct=True, logprob=-np.log(2))]]
    assert calibrations(rows, grouped_as_written)["token_probability"].confidence == pytest.approx(0.5)
