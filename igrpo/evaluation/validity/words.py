"""Numbers of the checks as words."""

from __future__ import annotations

from igrpo.evaluation.estimators import AccuracyEstimate
from igrpo.evaluation.validity.intervals import Interval


def percent(share: float) -> str:
    """Format a share: 41.2 %."""
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """Format a difference of shares: +1.5 points."""
    return f"{100 * difference:+.1f} points"


def accuracy(estimate: AccuracyEstimate) -> str:
    """Format an accuracy with its interval: 41.2 % [38.0, 44.5]."""
    return f"{percent(estimate.value)} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def share(one: Interval) -> str:
    """Format a share with its interval, if it has one."""
    return percent(one.value) + _bounds(one, 100, ".1f")


def gap(one: Interval) -> str:
    """Format a difference of shares with its interval, if it has one."""
    return points(one.value) + _bounds(one, 100, "+.1f")


def number(one: Interval) -> str:
    """Format a number with its interval, if it has one: 0.81 [0.74, 0.88]."""
    return f"{one.value:.3f}" + _bounds(one, 1, ".3f")


def _bounds(one: Interval, factor: int, form: str) -> str:
    if one.low is None or one.high is None:
        return ""
    return f" [{factor * one.low:{form}}, {factor * one.high:{form}}]"
