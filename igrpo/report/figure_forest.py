"""Forest plots, one row per estimate with its interval: differences between conditions, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from igrpo.report.figure_layout import BELOW, number_values, place_boxes
from igrpo.report.figure_style import DPI, FAINT, INK, WIDTH, Drawing, Look, legend_below
from igrpo.report.labels import bracket, pair_words, printable, quantity, shortened, signed, stem
from igrpo.report.model import Comparison, Final

_ROW = 0.6  # height of a row in inches: text, marks and spacing
_SIDE, _TOP = 0.22, 0.08
#: Vertical positions of a row's text and marks above its lower edge, as fractions of the row height.
_WORDS_AT, _MARKS_AT = 0.7, 0.28
_ZONE = "#dcdcdc"

Handles = list[tuple[Artist, str]]


def draw_differences(metric: str, comparisons: Sequence[Comparison]) -> Drawing:
    """Draw a forest plot of the comparisons of one metric.

    The grey zone of a row covers the differences that are too small for its design to detect.
    """
    what = quantity(metric)
    canvas, axes = _rows(len(comparisons))
    for row, c in enumerate(comparisons):
        y = len(comparisons) - 1 - row + _MARKS_AT
        if c.interval is None or c.bootstrap_interval is None or c.minimum_detectable_effect is None:
            _dots(axes, y, list(c.seed_differences.values()), INK)
            _label_row(axes, y, pair_words(c.pair), f"{what.change(c.difference)} (one seed)")
            continue
        mde, by_chance = c.minimum_detectable_effect, c.identical_by_construction is not None
        axes.fill_between((-mde, mde), y - 0.2, y + 0.2, color=_ZONE, linewidth=0, label=f"mde {row}")
        axes.plot(c.bootstrap_interval, (y - 0.13, y - 0.13), color=FAINT, linewidth=1.6, label=f"bootstrap {row}")
        _interval(axes, y, c.difference, c.interval, colour=INK, marker="D", hollow=by_chance)
        _dots(axes, y + 0.17, list(c.seed_differences.values()), INK)
        low, high = (what.change(edge) for edge in c.interval)
        _label_row(axes, y, pair_words(c.pair), f"{what.change(c.difference)} {bracket(low, high)}")
    axes.axvline(0, color=INK, linewidth=1)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: signed(100 * value, 1).removesuffix(".0") if what.share else signed(value, 2))
    )
    seeds: Handles = [(Line2D([], [], color=INK, marker="o", markersize=3, alpha=0.6, linestyle=""), "single seeds")]
    tested = [c for c in comparisons if c.interval is not None]
    handles: Handles = [
        (Line2D([], [], color=INK, marker="D", markersize=6, linewidth=2.2), "difference, 95 % interval"),
        (Line2D([], [], color=FAINT, linewidth=1.6), "bootstrap interval"),
        *seeds,
        (Patch(color=_ZONE), "too small to detect"),
    ]
    if not tested:
        handles = seeds
    if any(c.identical_by_construction for c in tested):
        hollow = Line2D([], [], color=INK, marker="D", markerfacecolor="white", markersize=6, linewidth=2.2)
        handles.append((hollow, "identical by construction"))
    _lay_out(canvas, axes, f"difference, {what.change_unit}".removesuffix(", "), handles, len(comparisons))
    captions = {
        "Look whether an interval excludes 0, and how wide the grey zone is: this design finds a true difference "
        "inside it with less than 80 % power.": bool(tested),
        "A pair with one seed has no interval: another seed may give another result.": len(tested) < len(comparisons),
    }
    caption = " ".join(text for text, applies in captions.items() if applies)
    return Drawing(f"difference-{stem(metric)}", f"Differences in {what.full}", caption, canvas)


def draw_finals(metric: str, finals: Sequence[Final], looks: Mapping[str, Look]) -> Drawing:
    """Draw the result of each condition with its interval, its seeds and its value before training."""
    what = quantity(metric)
    canvas, axes = _rows(len(finals))
    for row, final in enumerate(finals):
        y = len(finals) - 1 - row + _MARKS_AT
        look = looks[final.condition]
        _interval(axes, y, final.mean, final.interval, colour=look.colour, marker=look.marker)
        _dots(axes, y + 0.17, list(final.per_seed.values()), look.colour)
        if final.before is not None:
            axes.plot((final.before,) * 2, (y - 0.16, y + 0.16), color=FAINT, linewidth=2, label=f"before {row}")
        edges = (what.value(edge) for edge in final.interval)
        _label_row(axes, y, look.label, f"{what.value(final.mean)} {bracket(*edges)}")
    label = number_values(axes.xaxis.set_major_formatter, metric)
    handles: Handles = [
        (Line2D([], [], color=INK, marker="o", markersize=6, linewidth=2.2), _interval_words(finals)),
        (Line2D([], [], color=INK, marker="o", markersize=3, alpha=0.6, linestyle=""), "single seeds"),
    ]
    if any(final.before is not None for final in finals):
        before = Line2D([], [], color=FAINT, marker="|", markersize=11, markeredgewidth=2, linestyle="")
        handles.append((before, "before training"))
    _lay_out(canvas, axes, label, handles, len(finals))
    caption = (
        "Look at the spread of the seeds beside the distance between conditions; intervals may overlap "
        "although the difference is clear, since conditions are compared seed by seed and problem by problem."
    )
    return Drawing(f"final-{stem(metric)}", f"After training: {what.full}", caption, canvas)


def _interval_words(finals: Sequence[Final]) -> str:
    over = " (one seed: over its test questions only)" if any(len(final.per_seed) == 1 for final in finals) else ""
    return f"mean, 95 % interval{over}"


def _rows(count: int) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(WIDTH, 3.6), dpi=DPI)
    axes = canvas.subplots()
    axes.set_ylim(-0.1, count)
    axes.grid(visible=False, axis="y")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return canvas, axes


def _interval(
    axes: Axes, y: float, centre: float, ends: tuple[float, float], *, colour: str, marker: str, hollow: bool = False
) -> None:
    """Draw an interval and its point. The ``label`` of each ends in the row number, counted from below."""
    row = int(y)
    axes.plot(ends, (y, y), color=colour, linewidth=2.2, zorder=3, solid_capstyle="butt", label=f"interval {row}")
    face = "white" if hollow else colour
    axes.plot([centre], [y], color=colour, marker=marker, markersize=7, mfc=face, zorder=4, label=f"point {row}")


def _dots(axes: Axes, y: float, values: list[float], colour: str) -> None:
    axes.plot(values, [y] * len(values), "o", color=colour, markersize=3, alpha=0.6, label=f"seeds {int(y)}")


def _label_row(axes: Axes, y: float, words: str, numbers: str) -> None:
    """Write a row's words on the left and its numbers on the right, above its marks."""
    at = y - _MARKS_AT + _WORDS_AT
    place = axes.get_yaxis_transform()
    clear = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.text(0.0, at, shortened(printable(words), 58 - len(numbers)), transform=place, va="center", bbox=clear)
    axes.text(1.0, at, numbers, transform=place, ha="right", va="center", bbox=clear)


def _lay_out(canvas: Canvas, axes: Axes, label: str, handles: Handles, rows: int) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(x=0.04)
    legend = legend_below(canvas, [handle for handle, _ in handles], [words for _, words in handles])
    box = (_SIDE, legend + BELOW, WIDTH - 2 * _SIDE, rows * _ROW)
    place_boxes(canvas, [axes], [box], label, legend, above=_TOP)
