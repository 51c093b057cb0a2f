"""Reports of few runs and problems: intervals are clipped to possible values, and need at least two values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from igrpo.report import statistics
from igrpo.report.model import Report
from tests.report.run_dirs import of_metric, report_of, write_condition, write_run


def report(folder: Path, **conditions: Mapping[int, Sequence[float]]) -> Report:
    """Build a report of conditions with the given shares of right answers, by seed and problem."""
    for name, by_seed in conditions.items():
        write_condition(folder, name, by_seed, "algorithm=grpo")
    return report_of(folder)


@pytest.mark.parametrize(
    ("rows", "at_low", "at_high"),
    [
        ([[0.75, 1.0], [1.0, 0.75]], False, True),
        ([[0.25, 0.0], [0.0, 0.25]], True, False),
        ([[1.0, 0.0], [0.0, 1.0]], True, True),
        ([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.75]], False, False),
    ],
)
def test_an_accuracys_interval_ends_at_0_and_1(
    rows: list[list[float]], at_low: bool, at_high: bool, tmp_path: Path
) -> None:
    found = report(tmp_path, grpo=dict(enumerate(rows)))
    (final,) = of_metric(found.finals)
    estimate = statistics.crossed_estimate(rows, 0.95)
    assert (estimate.low < 0, estimate.high > 1) == (at_low, at_high)
    low, high = (0.0 if at_low else estimate.low), (1.0 if at_high else estimate.high)
    assert final.interval == pytest.approx((low, high))
    assert (final.interval[0] == 0.0, final.interval[1] == 1.0) == (at_low, at_high)


@pytest.mark.parametrize(
    ("first", "second", "at_low", "at_high"),
    [
        ([[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]], True, True),
        ([[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.5]], False, True),
        ([[1.0, 1.0], [1.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]], True, False),
    ],
)
def test_a_differences_interval_ends_at_minus_1_and_1(
    first: list[list[float]], second: list[list[float]], at_low: bool, at_high: bool, tmp_path: Path
) -> None:
    found = report(tmp_path, a=dict(enumerate(first)), b=dict(enumerate(second)))
    (comparison,) = of_metric(found.comparisons)
    sign = 1 if comparison.pair == ("a", "b") else -1
    values = [[sign * (y - x) for x, y in zip(*rows, strict=True)] for rows in zip(first, second, strict=True)]
    estimate = statistics.crossed_estimate(values, 0.95)
    assert comparison.interval == pytest.approx((max(estimate.low, -1.0), min(estimate.high, 1.0)))
    ends = (at_low, at_high) if sign == 1 else (at_high, at_low)
    assert (comparison.interval[0] == -1.0, comparison.interval[1] == 1.0) == ends


@pytest.mark.parametrize("rows", [[[0.5, 1.0]], [[0.5], [1.0]]])
def test_two_values_are_the_fewest(rows: list[list[float]], tmp_path: Path) -> None:
    other = [[0.25 for _ in row] for row in rows]
    found = report(tmp_path / "two", a=dict(enumerate(rows)), b=dict(enumerate(other)))
    assert [one.condition for one in of_metric(found.finals)] == ["a", "b"]
    assert len(of_metric(found.comparisons)) == 1
    with pytest.raises(ValueError, match="one problem at one seed is all that was tested"):
        report(tmp_path / "one", a={0: [0.5]}, b={0: [0.25]})


def test_seeds_of_other_problems_count_those_of_the_fewest(tmp_path: Path) -> None:
    """Without common problems, the means of the seeds are compared."""
    tested = {0: (["a", "b", "c"], [0.5, 0.5, 0.25]), 1: (["d", "e"], [1.0, 0.5]), 2: (["f", "g", "h", "i"], [0.5] * 4)}
    for seed, (ids, after) in tested.items():
        write_run(tmp_path / f"a-{seed}", "algorithm=grpo", seed=seed, after=after, ids=ids, changes={"condition": "a"})
    found = report_of(tmp_path)
    (final,) = of_metric(found.finals)
    assert final.problems == 2
    assert final.per_seed == pytest.approx({0: 1.25 / 3, 1: 0.75, 2: 0.5})
    assert final.mean == pytest.approx((1.25 / 3 + 0.75 + 0.5) / 3)


def test_a_bootstrap_without_settings_is_that_of_reports() -> None:
    rows = [[(7 * seed + 3 * problem) ** 2 % 101 / 100 for problem in range(30)] for seed in range(5)]
    assert statistics.bootstrap_interval(rows) == statistics.bootstrap_interval(rows, 0.95, 2000, 0)
