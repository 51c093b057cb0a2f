"""Figures of the learning dynamics: courses of training as means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from igrpo.report.dynamics_model import Band
from igrpo.report.figure_layout import number_x, panels, percent_tick, place
from igrpo.report.figure_style import Drawing, Look, legend_below
from igrpo.report.labels import stem
from igrpo.report.measures import ACCURACY, COUNTED, MEASURES, UNITS, figure_of, measures_of

#: Titles by figure and axis, and what to look for.
_WORDS: dict[tuple[str, str], tuple[str, str]] = {
    ("entropy", "percent"): (
        "Entropy over training",
        "All conditions start from the same policy; look at which falls faster.",
    ),
    ("entropy", "accuracy"): (
        "Entropy at equal accuracy",
        "Read down at one accuracy: a higher curve is a policy that is as good and explores more.",
    ),
    ("reward", "percent"): (
        "Reward over training",
        "Answers to the bare question are asked in the same way under every condition; trained samples may be "
        "refinements of a good draft.",
    ),
    ("length", "percent"): (
        "Completion length over training",
        "Look for answers that grow while the reward stays, and for one condition that buys its reward with length.",
    ),
    ("all-wrong", "percent"): (
        "Questions whose first answers are all wrong",
        "Above, the share of such questions, which should fall; below, how often a refinement is right all the same.",
    ),
}
_Y_LABELS = {"entropy": "entropy", "reward": "reward", "length": "length", "all-wrong": "share"}

#: Smallest vertical range of the means, so that noise does not fill a panel.
_LEAST_SPAN = {"entropy": 0.05, "reward": 0.05, "length": 2.0, "all-wrong": 0.1}

#: A band may pass the range of the means by this share of it; it is cut there.
_BEYOND = 0.6


def draw_bands(bands: Sequence[Band], looks: Mapping[str, Look]) -> Iterator[Drawing]:
    """Draw one figure per task, quantity and axis; a panel per measure. Tasks share no figure."""
    tasks = list(dict.fromkeys(band.task for band in bands))
    for figure, axis in _WORDS:
        for task in tasks:
            own = [b for b in bands if (b.task, b.axis, figure_of(b.measure)) == (task, axis, figure)]
            if own:
                yield _draw(own, looks, task if len(tasks) > 1 else "")


def _draw(bands: Sequence[Band], looks: Mapping[str, Look], task: str) -> Drawing:
    figure, axis = figure_of(bands[0].measure), bands[0].axis
    names = [name for name in measures_of(figure) if any(band.measure == name for band in bands)]
    canvas, axes = panels(len(names), side_by_side=False)
    low, high = _limits(bands, _LEAST_SPAN[figure])
    if figure == "all-wrong":  # shares
        low, high = max(low, -0.02), min(high, 1.02)
    x_label = ""
    for panel, name in zip(axes, names, strict=True):
        for band in bands:
            if band.measure == name:
                _draw_band(panel, band, looks[band.condition], list(looks).index(band.condition))
        panel.set_title(MEASURES[name].panel if name in MEASURES else COUNTED[name])
        panel.set_ylim(low, high)
        x_label = _number(panel, axis, share=figure == "all-wrong")
        panel.set_ylabel(", ".join(part for part in (_Y_LABELS[figure], UNITS[figure]) if part))
    shown = [look for name, look in looks.items() if any(band.condition == name for band in bands)]
    legend = legend_below(canvas, [look.handle() for look in shown], [look.label for look in shown])
    place(canvas, axes, x_label, legend, side_by_side=False)
    title, look = _WORDS[figure, axis]
    several = any(band.seeds > 1 for band in bands)
    lines = (
        "Lines: means over seeds; bands: their 95 % intervals, cut at the edge" if several else "Lines: one seed each"
    )
    if axis == "accuracy":
        lines = f"Points: evaluations of each seed, joined by straight lines. {lines}"
    ending = f"--{stem(task)}" if task else ""
    return Drawing(
        f"dynamics-{figure}-by-{axis}{ending}", f"{title}, {task}" if task else title, f"{look} {lines}.", canvas
    )


def _number(panel: Axes, axis: str, *, share: bool) -> str:
    """Format both axes and return the label of the horizontal one."""
    if share:
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent_tick(value)))
    if axis == "accuracy":
        return number_x(panel, ACCURACY, 1.0, ticks=6)
    panel.set_xlim(-2, 102)
    return "percent of training"


def _draw_band(panel: Axes, band: Band, look: Look, number: int) -> None:
    if band.seeds > 1:
        panel.fill_between(
            band.x, band.low, band.high, color=look.colour, alpha=0.13, linewidth=0, label=f"band {band.condition}"
        )
    if band.measured:
        panel.plot(band.x, band.mean, color=look.colour, linestyle=look.dashes, linewidth=1.9, label=band.condition)
        points = tuple(zip(*band.measured, strict=True))
        measured = f"measured {band.condition}"
        panel.plot(*points, color=look.colour, marker=look.marker, markersize=5, linestyle="", label=measured, zorder=3)
        return
    every = 1 if len(band.x) <= 12 else len(band.x) // 8
    (line,) = panel.plot(band.x, band.mean, color=look.colour, linestyle=look.dashes, linewidth=1.9, marker=look.marker)
    line.set(markersize=5, markevery=(number * 3 % every, every), zorder=3, label=band.condition)


def _limits(bands: Sequence[Band], least: float) -> tuple[float, float]:
    """Return the vertical range: that of the means, and of the bands as far as these do not hide them.

    The means get a range of at least ``least`` and of a tenth of their size.
    """
    means = [y for band in bands for y in (*band.mean, *(y for _, y in band.measured))]
    low, high = min(means), max(means)
    wider = max(0.0, max(least, 0.1 * max(abs(low), abs(high))) - (high - low))
    low, high = low - wider / 2, high + wider / 2
    span = high - low
    bottom = min(low, max(min(y for band in bands for y in band.low), low - _BEYOND * span))
    top = max(high, min(max(y for band in bands for y in band.high), high + _BEYOND * span))
    return bottom - 0.05 * span, top + 0.05 * span
