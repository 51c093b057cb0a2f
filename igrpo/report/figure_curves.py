"""Figures of curves: one line per condition, a band from its lowest to its highest seed, thin lines per seed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.figure_families import Plot
from igrpo.report.figure_layout import number_values, number_x, panels, place
from igrpo.report.figure_style import FAINT, Drawing, Look, legend_below
from igrpo.report.labels import quantity
from igrpo.report.model import Curve

#: Largest number of seed lines per panel. With more, the lines would hide the means, and no seed is drawn.
_MAX_SEED_LINES = 12
#: A longer curve is smoothed if it was measured on the training questions of each step.
_SMOOTH_FROM = 24


@dataclass(frozen=True, slots=True)
class _Manner:
    """Drawing options of the curves of one plot.

    Attributes:
        window: number of points of the running mean, odd; 1 disables it.
        several: True if any condition has more than one seed.
        seeds: True to draw each seed.
        path: True if the x axis is a metric, so that a curve may turn back and has no band.
    """

    window: int
    several: bool
    seeds: bool
    path: bool

    def sentence(self) -> str:
        """Describe the lines in one sentence for the caption."""
        parts = ["Lines: means over seeds" if self.several else "Lines: one seed each"]
        if self.window > 1:
            light = "light lines: every point" + (", mean over seeds" if self.several else "")
            parts = [f"Strong lines: running mean over {self.window} points", light]
        if self.several and not self.path:
            parts.append("bands: lowest to highest seed" + (", averaged likewise" if self.window > 1 else ""))
        if self.seeds:
            parts.append("thin lines: single seeds")
        if self.path:
            parts.append("the large marker is the end of training")
        return "; ".join(parts) + "."


def draw(plot: Plot, looks: Mapping[str, Look]) -> Drawing:
    """Draw one figure with its panels. The line of condition i in panel p has the gid ``panel{p}-mean{i}``."""
    every = [curve for _, curves in plot.panels for curve in curves]
    manner = _manner(plot, every)
    several = len(plot.family.panels) > 1 and (len(plot.panels) > 1 or not plot.family.side_by_side)
    beside = plot.family.side_by_side and several
    canvas, axes = panels(len(plot.panels), side_by_side=beside)
    x_label = ""
    for p, (panel, (title, curves)) in enumerate(zip(axes, plot.panels, strict=True)):
        for curve in curves:
            i = list(looks).index(curve.condition)
            _draw_curve(panel, curve, looks[curve.condition], manner, i).set_gid(f"panel{p}-mean{i}")
        if plot.family.diagonal and manner.path:
            panel.axline((0.5, 0.5), slope=1, color=FAINT, linewidth=1, label="diagonal")
        panel.set_title(title if several else "")
        x_label = number_x(panel, plot.axis, max(max(curve.x) for curve in every), ticks=4 if beside else 6)
        y_label = number_values(panel.yaxis.set_major_formatter, curves[0].metric)
        if p == 0 or not beside:
            panel.set_ylabel(textwrap.fill((several and plot.family.y_label) or y_label, 34))
    if quantity(every[0].metric).share:  # after the last panel: a limit ends the scaling of all, which share this axis
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(max(low, -0.02), min(high, 1.02))
    shown = [look for name, look in looks.items() if any(curve.condition == name for curve in every)]
    legend = legend_below(canvas, [look.handle() for look in shown], [look.label for look in shown])
    place(canvas, axes, x_label, legend, side_by_side=beside)
    return Drawing(plot.name, plot.title, f"{plot.look} {manner.sentence()}", canvas)


def running_mean(values: Sequence[float], window: int) -> npt.NDArray[np.float64]:
    """Return the centred mean over ``window`` points (odd, at most the number of values); fewer near the ends."""
    kernel = np.ones(window)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _manner(plot: Plot, curves: Sequence[Curve]) -> _Manner:
    longest, shortest = max(len(curve.x) for curve in curves), min(len(curve.x) for curve in curves)
    held_out = quantity(curves[0].metric).split is not None
    smooth = longest > _SMOOTH_FROM and not held_out
    window = min(max(3, longest // 10 | 1), (shortest - 1) | 1) if smooth else 1
    path = plot.axis not in BUDGET_AXES
    several = any(len(curve.lines) > 1 for curve in curves)
    lines = max(sum(len(curve.lines) for curve in group) for _, group in plot.panels)
    return _Manner(window, several, seeds=several and not smooth and not path and lines <= _MAX_SEED_LINES, path=path)


def _draw_curve(axes: Axes, curve: Curve, look: Look, manner: _Manner, number: int) -> Line2D:
    """Draw a curve and return the line of its (possibly smoothed) mean; its label is the condition's name."""
    x, mean = np.asarray(curve.x), running_mean(curve.mean, manner.window)
    if manner.path and manner.window > 1:
        x = running_mean(curve.x, manner.window)
    if len(curve.lines) > 1 and not manner.path:
        low, high = running_mean(curve.low, manner.window), running_mean(curve.high, manner.window)
        axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0, label=f"band {curve.condition}")
    if len(curve.lines) > 1 and manner.seeds:
        for line in curve.lines:
            axes.plot(line.x, line.y, color=look.colour, linewidth=0.7, alpha=0.5, label=f"seed {line.seed}")
    if manner.window > 1:
        axes.plot(curve.x, curve.mean, color=look.colour, linewidth=0.8, alpha=0.3, label=f"raw {curve.condition}")
    every = 1 if len(curve.x) <= 12 else len(curve.x) // 8
    (drawn,) = axes.plot(x, mean, color=look.colour, linestyle=look.dashes, linewidth=1.9, marker=look.marker)
    drawn.set(markersize=5, markevery=(number * 3 % every, every), zorder=3, label=curve.condition)
    if manner.path:
        axes.plot(x[-1:], mean[-1:], color=look.colour, marker=look.marker, markersize=9, label="end")
    return drawn
