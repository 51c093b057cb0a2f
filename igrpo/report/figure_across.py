"""Figure of the performance profiles of methods over several tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from matplotlib.ticker import FuncFormatter

from igrpo.report.across_model import Across
from igrpo.report.figure_layout import panels, percent_tick, place
from igrpo.report.figure_style import Drawing, Look, legend_below


def draw_profiles(across: Across | None, looks: Mapping[str, Look]) -> Iterator[Drawing]:
    """Draw the share of runs above each accuracy, one line per method; ``looks`` are those of the methods."""
    if across is None:
        return
    canvas, (axes,) = panels(1, side_by_side=False)
    for one in across.methods:
        look = looks[one.method]
        axes.fill_between(
            across.thresholds,
            one.profile_low,
            one.profile_high,
            step="post",
            color=look.colour,
            alpha=0.13,
            linewidth=0,
            label=f"band {one.method}",
        )
        (line,) = axes.step(across.thresholds, one.profile, where="post", color=look.colour, linestyle=look.dashes)
        line.set(linewidth=1.9, zorder=3, label=one.method)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.02, 1.02)
    for side in (axes.xaxis, axes.yaxis):
        side.set_major_formatter(FuncFormatter(lambda value, _: percent_tick(value)))
    axes.set_ylabel("runs above it, %")
    shown = [looks[one.method] for one in across.methods]
    legend = legend_below(canvas, [look.handle() for look in shown], [look.label for look in shown])
    place(canvas, [axes], "single-shot accuracy, %", legend, side_by_side=False)
    caption = (
        "A curve above another everywhere has more runs above every accuracy, whichever is chosen. Bands: 95 % "
        "intervals from resampled seeds of each task."
    )
    yield Drawing("across-profile", "Performance profiles over all tasks", caption, canvas)
