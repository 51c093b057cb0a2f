"""Test questions whose answers became right or wrong from one condition to another."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from igrpo.report.conditions import RunGroup
from igrpo.report.estimates import shares_by_seed
from igrpo.report.model import Changes, Metric, QuestionChange, metric_name

#: Number of questions with the largest gain, and with the largest loss, that are named.
MOST = 3

#: A question counts as right if more than this share of its answers is.
RIGHT_ABOVE = 0.5


def changes_of(first: RunGroup, second: RunGroup, metric: Metric) -> Changes | None:
    """Compare the test questions that all common seeds of both conditions answered; None if there are none.

    The share of a question is the mean over the common seeds and their samples.
    """
    a, b = shares_by_seed(first, metric), shares_by_seed(second, metric)
    if a is None or b is None:
        return None
    seeds = sorted(a.keys() & b.keys())
    rows = [one[seed] for one in (a, b) for seed in seeds]
    common = [question for question in rows[0] if all(question in row for row in rows)] if rows else []
    if not common:
        return None
    changed = [_change(question, [a[seed] for seed in seeds], [b[seed] for seed in seeds]) for question in common]
    cells = [(one.first > RIGHT_ABOVE, one.second > RIGHT_ABOVE) for one in changed]
    ordered = sorted(changed, key=lambda one: one.first - one.second)  # stable: ties keep their order
    gains = [one for one in ordered[:MOST] if one.second > one.first]
    losses = [one for one in ordered[::-1][:MOST] if one.second < one.first]
    return Changes(
        pair=(first.name, second.name),
        metric=metric_name(metric),
        seeds=len(seeds),
        questions=len(common),
        right_in_both=cells.count((True, True)),
        became_right=cells.count((False, True)),
        became_wrong=cells.count((True, False)),
        wrong_in_both=cells.count((False, False)),
        gains=tuple(gains),
        losses=tuple(losses),
    )


def _change(question: str, first: list[Mapping[str, float]], second: list[Mapping[str, float]]) -> QuestionChange:
    return QuestionChange(
        id=question, first=fmean(row[question] for row in first), second=fmean(row[question] for row in second)
    )
