"""The value of every step metric on one hand-made batch, with the arithmetic beside it."""

from __future__ import annotations

import math

import pytest

from igrpo.metrics.definitions import STEP_METRICS
from igrpo.metrics.samples import step_metrics
from igrpo.types import OUTCOMES
from tests.metrics.metrics_batch import batch

EXPECTED = {
    # drafts of 2, 4, 4, 2 tokens with entropies 2, 1, 0, 4: (4 + 4 + 0 + 8) / 12 tokens; the mean of means would be 7/4
    "draft/entropy": 16 / 12,
    "draft/sampling_entropy": (2 * 1.0 + 4 * 0.5 + 4 * 0.5 + 2 * 0.0) / 12,
    "draft/reward_mean": (0.0 + 1.0 + 0.5 + 0.25) / 4,
    # |0 - 1| / sqrt 2 and |0.5 - 0.25| / sqrt 2, with n - 1 = 1
    "draft/reward_std": (1.0 + 0.25) / math.sqrt(2) / 2,
    "draft/reward_best": (1.0 + 0.5) / 2,
    "draft/reward_shown": (1.0 + 0.5) / 2,
    "draft/accuracy": 1 / 3,  # one right, two wrong, one unknown
    "draft/length_mean": 12 / 4,
    "draft/length_max": 4.0,
    "draft/truncated_share": 3 / 4,
    "draft/completions": 4.0,
    "draft/outcome/right": 1 / 4,
    "draft/outcome/wrong": 2 / 4,
    "draft/outcome/unparsable": 1 / 4,
    "draft/outcome/refused": 0.0,
    "draft/outcome/timed_out": 0.0,
    "draft/outcome/crashed": 0.0,
    "draft/outcome/unscored": 0.0,
    # refinements of 4, 2, 2, 5 tokens with entropies 0.5, 0.25, 1, 2
    "refinement/entropy": (2.0 + 0.5 + 2.0 + 10.0) / 13,
    "refinement/sampling_entropy": 0.5,
    "refinement/reward_mean": (1.0 + 0.0 + 1.0 + 0.5) / 4,
    "refinement/reward_std": (1.0 + 0.5) / math.sqrt(2) / 2,
    "refinement/reward_best": 1.0,
    "refinement/accuracy": 2 / 4,
    "refinement/length_mean": 13 / 4,
    "refinement/length_max": 5.0,
    "refinement/truncated_share": 1 / 4,
    "refinement/completions": 4.0,
    "refinement/outcome/right": 2 / 4,
    "refinement/outcome/wrong": 2 / 4,
    "refinement/outcome/unparsable": 0.0,
    "refinement/outcome/refused": 0.0,
    "refinement/outcome/timed_out": 0.0,
    "refinement/outcome/crashed": 0.0,
    "refinement/outcome/unscored": 0.0,
    "reward/outcome/right": 3 / 8,
    "reward/outcome/wrong": 4 / 8,
    "reward/outcome/unparsable": 1 / 8,
    "reward/outcome/refused": 0.0,
    "reward/outcome/timed_out": 0.0,
    "reward/outcome/crashed": 0.0,
    "reward/outcome/unscored": 0.0,
    "transfer/lift": ((0.5 - 0.5) + (0.75 - 0.375)) / 2,
    "transfer/right_given_right": 1 / 2,  # q1: right, wrong
    "transfer/wrong_given_right": 1 / 2,
    "transfer/right_given_wrong": 1 / 2,  # q2: right, wrong
    "copy/answer_rate": 2 / 4,  # q1: "1" = "1", "3"; q2: "1", "9" = "9"
    "copy/answer_rate_given_right": 1 / 2,
    "copy/answer_rate_given_wrong": 1 / 2,
    # without stop tokens: q1 578 against 578 and 9: 1, 0; q2 4444 against 6 and 44477: 1 - 4/4 = 0, 1 - 2/5 = 0.6
    "copy/text_similarity": (1.0 + 0.0 + 0.0 + 0.6) / 4,
    "copy/text_similarity_given_right": (1.0 + 0.0) / 2,
    "copy/text_similarity_given_wrong": (0.0 + 0.6) / 2,
    "copy/exact_rate": 1 / 4,
    "copy/exact_rate_given_right": 1 / 2,
    "copy/exact_rate_given_wrong": 0.0,
    # of the refinements: the sum of rewards is 2.5, that of entropies 14.5
    "train/reward": 2.5 / 4,
    "train/entropy": 14.5 / 13,
    "groups/zero_variance_share": 0.0,
    "groups/all_right_share": 0.0,
    "groups/all_wrong_share": 0.0,
    "draft/all_failed_share": 1 / 2,  # q2
    "draft/shown_share": 1.0,
    "draft/cut_share": 1 / 2,
    "budget/samples_per_question": 8 / 2,
}


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    return step_metrics(batch(), variance_tolerance=1e-9)


@pytest.mark.parametrize("name", EXPECTED)
def test_value(measured: dict[str, float], name: str) -> None:
    assert measured[name] == pytest.approx(EXPECTED[name], abs=1e-12)


def test_nothing_else_is_measured(measured: dict[str, float]) -> None:
    assert set(measured) == set(EXPECTED)


def test_every_metric_is_documented() -> None:
    assert set(EXPECTED) <= set(STEP_METRICS)


def test_shares_of_outcomes_sum_to_one(measured: dict[str, float]) -> None:
    for prefix in ("draft/outcome", "refinement/outcome", "reward/outcome"):
        assert sum(measured[f"{prefix}/{outcome}"] for outcome in OUTCOMES) == pytest.approx(1.0)
