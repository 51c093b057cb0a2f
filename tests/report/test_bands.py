"""Courses of training and their differences, against hand arithmetic and Student's t of scipy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scipy import stats

from igrpo.report.bands import FEWEST_EVALUATIONS, SeedLine, accuracy_band, percent_band, seed_interval, shared_range
from igrpo.report.conditions import RunGroup
from igrpo.report.course_differences import course_differences
from igrpo.report.dynamics_model import CourseDifference

ACCURACY, ENTROPY = "development/single_shot/accuracy", "development/answer/entropy"


def group_of(name: str, by_seed: Mapping[int, Sequence[Mapping[str, float]]]) -> RunGroup:
    """Make a condition of runs that have these lines; one with a step that is trained counts as a training step."""
    runs = {seed: cast("Any", SimpleNamespace(metrics=lines)) for seed, lines in by_seed.items()}
    return RunGroup(name, {}, runs)


def lines(start: float, end: float, *, accuracies: Sequence[float] = (0.2, 0.4, 0.6)) -> list[dict[str, float]]:
    """Four steps with evaluations of entropy after 0, 2 and 4 of them, on a straight line."""
    found: list[dict[str, float]] = []
    for step in range(5):
        if step:
            found.append({"step": step, "budget/samples": step, "train/entropy": start - 0.1 * step})
        if step % 2 == 0:
            entropy = start + (end - start) * step / 4
            found.append({"step": step, ACCURACY: accuracies[step // 2], ENTROPY: entropy})
    return found


def test_an_evaluation_follows_its_step_and_samples_precede_it() -> None:
    group = group_of("grpo", {0: lines(1.0, 0.5)})
    held_out, trained = percent_band("t", group, "entropy/bare"), percent_band("t", group, "entropy/trained")
    assert held_out is not None
    assert trained is not None
    assert (held_out.x, held_out.mean) == ((0.0, 50.0, 100.0), (1.0, 0.75, 0.5))
    assert trained.x == (0.0, 25.0, 50.0, 75.0)
    assert trained.mean == pytest.approx((0.9, 0.8, 0.7, 0.6))
    assert (trained.low, trained.high) == (trained.mean, trained.mean)  # one seed
    assert percent_band("t", group, "length/bare") is None


def test_a_band_is_the_t_interval_over_the_seeds() -> None:
    group = group_of("grpo", {seed: lines(1.0 + 0.1 * seed, 0.5) for seed in range(3)})
    band = percent_band("t", group, "entropy/bare")
    assert band is not None
    half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)  # 1.0, 1.1 and 1.2 have the standard deviation 0.1
    assert (band.low[0], band.mean[0], band.high[0]) == pytest.approx((1.1 - half, 1.1, 1.1 + half))
    assert (band.low[2], band.high[2]) == (0.5, 0.5)  # all seeds agree
    assert seed_interval([0.3]) is None
    assert seed_interval([0.3, 0.3 + 1e-15]) is None


def test_long_courses_are_averaged_in_parts_after_the_first_step() -> None:
    steps = 41
    rows = [{"step": s, "budget/samples": s, "train/reward": float(s)} for s in range(1, steps + 1)]
    band = percent_band("t", group_of("grpo", {0: rows}), "reward/trained")
    assert band is not None
    assert len(band.x) == 21
    assert band.mean[:3] == (1.0, 2.5, 4.5)  # step 1 alone, then two steps each
    assert band.x[1] == pytest.approx(100 * 1.5 / steps)


def evaluated(*points: tuple[float, float]) -> list[dict[str, float]]:
    """Evaluations with these accuracies and entropies, one before training and one after each step."""
    return [
        {"step": step, ACCURACY: accuracy, ENTROPY: entropy, **({"budget/samples": step} if step else {})}
        for step, (accuracy, entropy) in enumerate(points)
    ]


def on_a_line(start: float, end: float, slope: float, count: int = 4) -> list[dict[str, float]]:
    """Evaluations at equally spaced accuracies, with the entropy 1 + slope (accuracy - start)."""
    steps = [(end - start) * i / (count - 1) for i in range(count)]
    return evaluated(*((start + step, 1 + slope * step) for step in steps))


def test_equal_accuracy_is_where_all_seeds_have_been() -> None:
    runs = {0: on_a_line(0.2, 0.6, -1.25), 1: on_a_line(0.3, 0.7, -1.25)}
    band = accuracy_band("t", group_of("grpo", runs), "entropy/bare")
    assert band is not None
    assert (band.x[0], band.x[-1]) == (pytest.approx(0.3), pytest.approx(0.6))
    # entropy is 1 - 0.25 (a - 0.2) / 0.2 at seed 0 and 1 - 0.25 (a - 0.3) / 0.2 at seed 1
    assert band.mean[0] == pytest.approx((0.875 + 1.0) / 2)
    assert band.mean[-1] == pytest.approx((0.5 + 0.625) / 2)
    assert shared_range([SeedLine((0.1, 0.2), (1, 1)), SeedLine((0.3, 0.4), (1, 1))]) is None
    assert shared_range([]) is None
    # what was measured is kept beside what is read off the lines between: every evaluation of both seeds
    assert sorted(band.measured) == sorted((line[ACCURACY], line[ENTROPY]) for run in runs.values() for line in run)


def test_equal_accuracy_takes_four_evaluations() -> None:
    assert FEWEST_EVALUATIONS == 4
    few, enough = (group_of("grpo", {0: on_a_line(0.2, 0.6, -1.0, count)}) for count in (3, 4))
    assert accuracy_band("t", few, "entropy/bare") is None
    assert accuracy_band("t", enough, "entropy/bare") is not None
    found = differences(grpo={0: on_a_line(0.2, 0.6, -1.0, 3)}, igrpo={0: on_a_line(0.2, 0.6, -2.0, 5)})
    assert ("entropy/bare", "accuracy") not in found
    assert found["entropy/bare", "percent"].points == 3  # the fewest of both


def test_an_average_over_training_says_how_often_it_was_measured() -> None:
    rows = [{"step": s, "budget/samples": s, "draft/entropy": 1 / s} for s in range(1, 9)]
    found = differences(grpo={0: [{**row, "answer/entropy": 0.5} for row in rows]}, igrpo={0: rows})
    one = found["entropy/training", "percent"]
    assert (one.points, one.means[0]) == (8, pytest.approx(0.5))
    inner = sum(1 / s for s in range(2, 8))  # trapezoids: the ends count half
    assert one.means[1] == pytest.approx((0.5 + inner + 1 / 16) / 7)


def test_the_average_over_a_range_is_the_area_under_the_line() -> None:
    line = SeedLine((0.0, 50.0, 100.0), (1.0, 0.5, 0.25))
    assert line.mean(0.0, 100.0) == pytest.approx((0.75 + 0.375) / 2)
    assert line.mean(25.0, 75.0) == pytest.approx((0.625 + 0.4375) / 2)  # from 0.75 over 0.5 to 0.375


def differences(**of: Mapping[int, Any]) -> dict[tuple[str, str], CourseDifference]:
    first, second = (group_of(name, rows) for name, rows in of.items())
    return {(one.measure, one.axis): one for one in course_differences("t", first, second)}


def test_differences_are_paired_by_seed_and_averaged_over_training() -> None:
    found = differences(
        grpo={seed: lines(1.0 + seed, 0.5 + seed) for seed in range(3)},
        igrpo={seed: lines(1.0 + seed, 0.7 + seed + 0.1 * seed) for seed in (0, 1, 2, 5)},
    )
    one = found["entropy/bare", "percent"]
    assert (one.pair, one.seeds, one.between) == (("grpo", "igrpo"), 3, (0.0, 100.0))
    # the ends differ by 0.2, 0.3 and 0.4, and straight lines from the same start by half of that on average
    assert one.difference == pytest.approx(0.15)
    half = stats.t.ppf(0.975, 2) * 0.05 / math.sqrt(3)
    assert one.interval == pytest.approx((0.15 - half, 0.15 + half))
    assert one.starts == (2.0, 2.0)
    assert one.means == pytest.approx((0.75 + 1, 0.9 + 1))


def test_a_lower_entropy_may_be_that_of_a_higher_accuracy() -> None:
    """Both are on the line entropy = 1 - accuracy; one goes further, and nothing differs at equal accuracy."""
    first, second = on_a_line(0.2, 0.6, -1.0), on_a_line(0.2, 1.0, -1.0)
    found = differences(grpo={0: first}, igrpo={0: second})
    assert found["entropy/bare", "percent"].difference == pytest.approx(-0.2)
    equal = found["entropy/bare", "accuracy"]
    assert equal.difference == pytest.approx(0.0)
    assert equal.between == pytest.approx((0.2, 0.6))
    assert equal.interval is None
