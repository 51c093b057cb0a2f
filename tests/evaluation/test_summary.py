"""The summary of samples: each metric against its own definition, intervals against brute force and by simulation."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations, product
from statistics import fmean, stdev

import numpy as np
import pytest

from igrpo.evaluation.bootstrap import Resamples, bootstrap, centred, percentile_bounds
from igrpo.evaluation.columns import sizes_up_to
from igrpo.evaluation.estimators import accuracy_interval, majority_at_k, pass_at_k, share_interval, standard_error
from igrpo.evaluation.summary import SUMMARY_DOCS, MetricEstimate, summarise_samples, summary_values
from tests.evaluation.rows import row, rows

CORRECT = [[True, True, False, True], [False, False, False, False], [True, False, False, False], [True] * 4]


def same(one: str, other: str) -> bool:
    return one == other


def summary_of(
    correct_QK: list[list[bool]], answers_QK: list[list[str | None]] | None = None
) -> dict[str, MetricEstimate]:
    return summarise_samples(rows(correct_QK, answers_QK), same)


def test_values_are_those_of_the_single_estimators() -> None:
    found = summary_of(CORRECT)
    assert found["accuracy"].value == pytest.approx(8 / 16)
    assert (found["accuracy"].low, found["accuracy"].high) == pytest.approx(accuracy_interval(CORRECT))
    for k in (2, 4):
        assert found[f"pass_at_{k}"].value == pytest.approx(pass_at_k(CORRECT, k))
        assert found[f"worst_at_{k}"].value == pytest.approx(
            fmean(fmean(all(subset) for subset in combinations(verdicts, k)) for verdicts in CORRECT)
        )
    # of 4 samples at least 3 right: the first and the last question
    assert found["g_pass_at_4/tau_0.75"].value == pytest.approx(1 / 2)
    # tau from 0.5 to 0.75 needs 3, then 4 right: the first question for half of the way, the last for all
    assert found["mg_pass_at_4"].value == pytest.approx((1 / 2 + 1) / 4)
    answers = [[f"w{i}" if not right else "0" for i, right in enumerate(verdicts)] for verdicts in CORRECT]
    assert found["majority_at_4"].value == pytest.approx(majority_at_k(answers, CORRECT))
    # most frequent answers: 3 of 4, 1, 1, 4; equal pairs of 6: 3, 0, 0, 6
    assert found["consistency"].value == pytest.approx((3 + 1 + 1 + 4) / 16)
    assert found["agreement"].value == pytest.approx((3 + 6) / 24)


def test_standard_error_is_over_questions() -> None:
    # shares 3/4, 0, 1/4, 1
    expected = stdev([3 / 4, 0, 1 / 4, 1]) / math.sqrt(4)
    assert summary_of(CORRECT)["accuracy"].standard_error == pytest.approx(expected)
    assert standard_error([0.25, 0.75]) == pytest.approx(math.sqrt(2 * 0.25**2) / math.sqrt(2))
    assert standard_error([0.3]) is None


def test_lengths_by_hand() -> None:
    samples = [
        row("a", 0, right=True, tokens=2),
        row("a", 1, right=False, tokens=8, truncated=True),
        row("b", 0, right=False, tokens=4),
        row("b", 1, right=False, tokens=6),
    ]
    found = summarise_samples(samples, same)
    assert found["length_mean"].value == pytest.approx(20 / 4)
    assert found["length_right"].value == pytest.approx(2)
    assert found["length_wrong"].value == pytest.approx((8 + 4 + 6) / 3)
    assert found["truncated_share"].value == pytest.approx(1 / 4)
    assert found["length_right"].standard_error is None  # of one question
    # residuals of the ratio 6: 8 - 6 = 2 and 10 - 12 = -2; sqrt(2/1 * 8) / 3
    assert found["length_wrong"].standard_error == pytest.approx(math.sqrt(16) / 3)
    assert "consistency" not in found  # the reward extracts no answers


def test_what_has_no_data_is_left_out() -> None:
    assert "length_right" not in summary_of([[False, False]] * 3)
    unscored = [row(question, i, right=False, scored=False) for question in "ab" for i in range(2)]
    assert set(summarise_samples(unscored, same)) == {"truncated_share", "length_mean", "length_wrong"}
    one = summary_of([[True]])
    assert set(one) == {"accuracy", "truncated_share", "length_mean", "length_right"}
    assert one["accuracy"].by_question is None
    assert json.loads(json.dumps(summary_values(one)))["accuracy"]["value"] == 1.0


def test_order_of_the_rows_does_not_matter() -> None:
    samples = rows(CORRECT)
    assert summarise_samples(samples[::-1], same).keys() == summarise_samples(samples, same).keys()
    forwards = sorted(samples, key=lambda sample: (sample.question, -sample.index))
    assert summarise_samples(forwards, same) == summarise_samples(samples, same)


def test_equal_answers_vote_together() -> None:
    correct = [[True, True, False, False, False]]
    answers: list[list[str | None]] = [["1/2", "0.5", "3", "3", "4"]]
    apart = summary_of(correct, answers)["majority_at_5"]
    assert apart.value == 0.0
    together = summarise_samples(rows(correct, answers), lambda a, b: a == b or {a, b} == {"1/2", "0.5"})
    assert together["majority_at_5"].value == pytest.approx(1 / 2)  # 2 : 2 : 1
    assert together["consistency"].value == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "one kind; got none"),
        ([row("a", 0, right=True), row("a", 0, right=True, kind="greedy")], "one kind; got greedy, single_shot"),
        ([row("a", 0, right=True), row("b", 0, right=True), row("b", 1, right=True)], r"counts \[1, 2\]"),
    ],
)
def test_samples_that_make_no_sense(samples: list, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=message):
        summarise_samples(samples, same)


def test_every_metric_has_a_definition() -> None:
    found = summary_of([[True, False, True, False, True]] * 2)
    generic = {re.sub(r"_at_\d+", "_at_K", re.sub(r"tau_[\d.]+", "tau_TAU", name)) for name in found}
    assert generic == set(SUMMARY_DOCS)
    assert list(dict.fromkeys(re.sub(r"_at_\d+", "_at_K", re.sub(r"tau_[\d.]+", "tau_TAU", n)) for n in found)) == list(
        SUMMARY_DOCS
    )


@pytest.mark.parametrize(("n", "sizes"), [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])])
def test_sizes(n: int, sizes: list[int]) -> None:
    assert sizes_up_to(n) == sizes


def test_bootstrap_over_questions_is_that_of_all_resamplings() -> None:
    """The distribution of the mean of 4 values over all 4^4 draws with replacement."""
    values = np.array([0.0, 0.1, 0.4, 1.0])
    every = np.array([values[list(draw)].mean() for draw in product(range(4), repeat=4)])
    replicates = np.concatenate(
        [bootstrap(Resamples.means(values[:, None, None]), np.random.default_rng(i)) for i in range(20)]
    )[:, 0]
    for level in np.linspace(0.05, 0.95, 10):
        point = np.quantile(every, level)
        assert (replicates <= point + 1e-9).mean() == pytest.approx((every <= point + 1e-9).mean(), abs=0.015)
    low, high = percentile_bounds(replicates[:, None], 0.9)[0]
    assert (low, high) == pytest.approx(np.quantile(every, [0.05, 0.95]), abs=0.02)


def test_bootstrap_of_two_levels_is_that_of_all_resamplings() -> None:
    """Two questions of two samples: every draw of questions, and of samples within each."""
    correct = np.array([[1.0, 0.0], [1.0, 1.0]])
    every = [
        np.mean([correct[q, list(draw)].mean() for q, draw in zip(questions, draws, strict=True)])
        for questions in product(range(2), repeat=2)
        for draws in product(product(range(2), repeat=2), repeat=2)
    ]
    inner = np.array([[correct[q, list(draw)].mean() for draw in product(range(2), repeat=2)] for q in range(2)])
    replicates = np.concatenate(
        [bootstrap(Resamples.means(inner[..., None]), np.random.default_rng(i)) for i in range(20)]
    )[:, 0]
    for value in sorted(set(every)):
        assert (replicates == value).mean() == pytest.approx(np.mean(np.array(every) == value), abs=0.01)


def test_replicates_are_centred() -> None:
    replicates = np.array([[0.2, np.nan], [0.4, 3.0]])
    assert centred(replicates, np.array([0.5, 1.0]))[:, 0] == pytest.approx([0.4, 0.6])
    assert centred(replicates, np.array([0.5, 1.0]))[1, 1] == 1.0


def test_an_estimate_about_k_samples_is_worth_as_many_separate_sets_of_k() -> None:
    """With equal questions the interval is as wide as these sets allow: 8 samples have 4 pairs and 2 sets of 4."""
    found = summarise_samples(rows([[True] + [False] * 7] * 10), same)
    for k in (2, 4, 8):  # one right of 8: a set of k has it in k of 8 cases
        expected = share_interval([k / 8] * 10, 8 // k)
        assert found[f"pass_at_{k}"].value == pytest.approx(k / 8)
        assert (found[f"pass_at_{k}"].low, found[f"pass_at_{k}"].high) == pytest.approx(expected)
    assert found["accuracy"].low == pytest.approx(accuracy_interval([[True] + [False] * 7] * 10)[0])


def test_intervals_hold_the_value_and_samples_widen_them() -> None:
    rng = np.random.default_rng(3)
    correct = (rng.random((60, 8)) < rng.beta(1, 1, size=(60, 1))).tolist()
    found = summary_of(correct)
    for name, metric in found.items():
        if name.startswith("length"):  # all have one length
            assert metric.low is None
            continue
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low <= metric.value <= metric.high
        assert metric.by_question is not None
        assert metric.by_question[0] <= metric.value <= metric.by_question[1]
    accuracy = found["accuracy"]
    assert accuracy.by_question is not None
    assert accuracy.by_question_and_sample is not None
    assert accuracy.standard_error is not None
    width = accuracy.by_question[1] - accuracy.by_question[0]
    assert width == pytest.approx(2 * 1.96 * accuracy.standard_error, rel=0.12)
    assert accuracy.by_question_and_sample[1] - accuracy.by_question_and_sample[0] > width


def test_the_seed_decides() -> None:
    samples = rows([[True, False, True], [False, True, True], [False] * 3, [True] * 3])
    first = summarise_samples(samples, same, seed=1)
    assert first == summarise_samples(samples, same, seed=1)
    assert first != summarise_samples(samples, same, seed=2)
