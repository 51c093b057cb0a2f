"""Figures of curves that add nothing to the others, found from the data of their curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.figure_families import Plot
from igrpo.report.model import Curve

#: Two budgets count as proportional if no point is further off than this share of the longest curve.
_TOLERANCE = 1e-3


def says_nothing_new(plot: Plot, earlier: Sequence[Plot]) -> str:
    """Return the reason in a sentence why a figure adds nothing; empty if it adds something.

    Either every curve is one point. Or the x axis is proportional to that of an earlier figure of the same family, by
    the same factor for all conditions, as samples are to steps if every step of every condition has as many.
    """
    if all(len(curve.x) == 1 for curve in _by_name(plot).values()):
        return "Every curve is a single point."
    for other in earlier:
        if other.family == plot.family and {plot.axis, other.axis} <= BUDGET_AXES.keys():
            factor = _factor(_by_name(other), _by_name(plot))
            if factor is not None:
                one, two = BUDGET_AXES[other.axis].label, BUDGET_AXES[plot.axis].label
                return f"The same picture as against {one}: in every condition there are {factor:,.6g} {two} to one."
    return ""


def _by_name(plot: Plot) -> dict[tuple[str, str], Curve]:
    return {(curve.metric, curve.condition): curve for _, curves in plot.panels for curve in curves}


def _factor(first: dict[tuple[str, str], Curve], second: dict[tuple[str, str], Curve]) -> float | None:
    """Return the number by which all x of the first curves are multiplied to give the second; None without one."""
    if first.keys() != second.keys() or any(first[name].mean != second[name].mean for name in first):
        return None
    points = [point for name in first for point in zip(first[name].x, second[name].x, strict=True)]
    longest, its_other = max(points)
    if longest <= 0 or its_other <= 0:
        return None
    factor = its_other / longest
    alike = all(math.isclose(factor * x, y, rel_tol=0, abs_tol=_TOLERANCE * its_other) for x, y in points)
    return factor if alike else None
