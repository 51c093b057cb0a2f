"""Layout of figures in inches, and numbering of their axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.figure_style import DPI, WIDTH
from igrpo.report.labels import percent, quantity, superscript

#: Space in inches between the legend and the panels: tick labels and the common label.
BELOW = 0.56
_LEFT, _RIGHT, _TOP = 0.74, 0.2, 0.12  # around the panels
_TITLE = 0.22  # above a panel that has one
_SINGLE, _STACKED, _BESIDE = 2.7, 1.85, 2.5  # heights of panels

#: Position in inches: left, bottom, width and height.
Box = tuple[float, float, float, float]

_WORDS = {3: "thousands", 6: "millions", 9: "billions"}


def panels(count: int, *, side_by_side: bool) -> tuple[Canvas, list[Axes]]:
    """Create a canvas with ``count`` axes that share their common axis. ``place`` sets their positions."""
    canvas = Canvas(figsize=(WIDTH, 3.6), dpi=DPI)
    rows, columns = (1, count) if side_by_side else (count, 1)
    grid = canvas.subplots(rows, columns, sharex=not side_by_side, sharey=True, squeeze=False)
    return canvas, [axes for row in grid for axes in row]


def place(canvas: Canvas, axes: Sequence[Axes], x_label: str, legend: float, *, side_by_side: bool) -> None:
    """Set the height of the canvas, and place the panels and their common label above a legend of ``legend`` inches."""
    title = _TITLE if any(panel.get_title(loc="left") for panel in axes) else 0.0
    bottom = legend + BELOW
    wide = WIDTH - _LEFT - _RIGHT
    if side_by_side:
        gap = 0.2
        width = (wide - gap * (len(axes) - 1)) / len(axes)
        boxes = [(_LEFT + i * (width + gap), bottom, width, _BESIDE) for i in range(len(axes))]
    else:
        tall = _SINGLE if len(axes) == 1 else _STACKED
        step = tall + title + 0.14
        boxes = [(_LEFT, bottom + i * step, wide, tall) for i in reversed(range(len(axes)))]
    place_boxes(canvas, axes, boxes, x_label, legend, above=title + _TOP)


def place_boxes(
    canvas: Canvas, axes: Sequence[Axes], boxes: Sequence[Box], x_label: str, legend: float, *, above: float
) -> None:
    """Place each panel in its box, and their common label above a legend of ``legend`` inches.

    The canvas gets the height of the boxes and ``above`` inches over them.
    """
    height = max(low + tall for _, low, _, tall in boxes) + above
    start, end = min(left for left, *_ in boxes), max(left + width for left, _, width, _ in boxes)
    canvas.set_size_inches(WIDTH, height)
    canvas.text((start + end) / 2 / WIDTH, (legend + 0.1) / height, x_label, ha="center", va="bottom", size=10.5)
    for panel, (left, low, width, tall) in zip(axes, boxes, strict=True):
        panel.set_position((left / WIDTH, low / height, width / WIDTH, tall / height))


def number_x(axes: Axes, name: str, largest: float, ticks: int) -> str:
    """Format the ticks of the horizontal axis of a budget or a metric, and return its label."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, integer=name == "steps", steps=[1, 2, 2.5, 5, 10]))
    if name not in BUDGET_AXES:
        return number_values(axes.xaxis.set_major_formatter, name)
    power = _power(largest, always=name == "flops")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 10.0**power:,.6g}"))
    unit = f", {_WORDS.get(power, '10' + superscript(power))}" if power else ""
    return BUDGET_AXES[name].label + unit


def _power(largest: float, *, always: bool) -> int:
    """Return the power of ten, a multiple of 3, by which the numbers of an axis are divided."""
    if largest < (1 if always else 10_000):
        return 0
    return (len(f"{largest:.0f}") - 1) // 3 * 3


def number_values(set_formatter: Callable[[FuncFormatter], None], metric: str) -> str:
    """Format the ticks of the axis of a metric (shares in %), and return its label."""
    what = quantity(metric)
    set_formatter(FuncFormatter(lambda value, _: percent_tick(value) if what.share else f"{value:.4g}"))
    return what.axis_label


def percent_tick(share: float) -> str:
    """Format a share for an axis: in percent, without a decimal where it would be 0."""
    return percent(share).removesuffix(".0")
