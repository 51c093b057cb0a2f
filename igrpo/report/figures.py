"""Figures of a report. Every curve of the report is drawn; there is no figure for a metric without data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from igrpo.report import figure_curves
from igrpo.report.figure_across import draw_profiles
from igrpo.report.figure_bands import draw_bands
from igrpo.report.figure_families import Plot, plots
from igrpo.report.figure_forest import draw_differences, draw_finals
from igrpo.report.figure_gains import draw_gains
from igrpo.report.figure_repeats import says_nothing_new
from igrpo.report.figure_style import Drawing, Figure, Look, house_style, looks, render
from igrpo.report.model import Report, by_metric

__all__ = ["Figure", "draw_figures", "drawings"]


def draw_figures(report: Report) -> list[Figure]:
    """Draw and render all figures in the order of the page: results, differences, then curves by family and axis.

    The same report gives the same bytes (with the same version of matplotlib). Names are unique and valid as file
    names.
    """
    with house_style():
        return [render(drawing) for drawing in _named(_drawings(report))]


def drawings(report: Report) -> list[Drawing]:
    """Draw all figures without rendering them, so that the data in the axes can be inspected."""
    with house_style():
        return _named(_drawings(report))


def _drawings(report: Report) -> list[Drawing]:
    named = [condition.name for condition in report.conditions]
    seen = [*(final.condition for final in report.finals), *(curve.condition for curve in report.curves)]
    look = looks(list(dict.fromkeys((*named, *seen))), report.baseline)
    return [
        *(draw_finals(metric, group, look) for metric, group in by_metric(report.finals).items()),
        *(draw_differences(metric, group) for metric, group in by_metric(report.comparisons).items()),
        *_curves(plots(report.curves), look),
        *draw_bands(report.dynamics.bands, look),
        *draw_gains(report.dynamics.gains, look),
        *draw_profiles(report.across, _method_looks(report)),
    ]


def _method_looks(report: Report) -> dict[str, Look]:
    """Return a style per method across tasks; the first that others are compared with is the baseline."""
    if report.across is None:
        return {}
    methods = [one.method for one in report.across.methods]
    return looks(methods, next((one.pair[0] for one in report.across.improvements), methods[0]))


def _curves(found: Sequence[Plot], look: Mapping[str, Look]) -> Iterator[Drawing]:
    """Yield the figures of curves; the caption of one that adds nothing to the others says so."""
    for number, plot in enumerate(found):
        drawing, aside = figure_curves.draw(plot, look), says_nothing_new(plot, found[:number])
        yield replace(drawing, aside=aside, caption=f"{aside} {drawing.caption}" if aside else drawing.caption)


def _named(drawn: list[Drawing]) -> list[Drawing]:
    """Make names unique with a number: metric names that differ only in punctuation give the same file name."""
    used: dict[str, int] = {}
    unique = []
    for drawing in drawn:
        used[drawing.name] = used.get(drawing.name, 0) + 1
        again = used[drawing.name]
        unique.append(drawing if again == 1 else replace(drawing, name=f"{drawing.name}--{again}"))
    return unique
