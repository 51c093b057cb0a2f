"""MLflow's own pages, read in a browser: which runs they list, how they group them, what their charts draw."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.browser.watch import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, ViewportSize

DEADLINE_MS = 60_000
#: The widths at which both pages show two charts side by side, MLflow's assistant open beside them.
VIEWPORT: ViewportSize = {"width": 1600, "height": 1150}

#: Errors that MLflow's pages make by themselves: a question for a login that its server does not have, and a notice of
#: Chromium that a size changed while sizes were told.
_OF_MLFLOW = ("/mlflow/users/current", "ResizeObserver loop completed with undelivered notifications")


@dataclass(frozen=True)
class Line:
    """One group's line in a chart: the mean of its runs at each step, their lowest and their highest."""

    steps: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def errors(seen: Watch, server: str) -> list[str]:
    """What went wrong on a page of MLflow, but for what always does."""
    wrong = seen.console + seen.thrown + seen.refused + seen.requested_outside(server)
    return [line for line in wrong if not any(known in line for known in _OF_MLFLOW)]


def open_grouped_runs(page: Page, link: str, metrics: Sequence[str]) -> None:
    """Open the runs page, and wait until the charts of these metrics are drawn."""
    page.goto(link)
    for metric in metrics:
        chart = _card(page, metric)
        chart.scroll_into_view_if_needed(timeout=DEADLINE_MS)
        chart.locator(".scatterlayer path.js-line").first.wait_for(state="attached", timeout=DEADLINE_MS)
        chart.locator("path.js-fill").first.wait_for(state="attached", timeout=DEADLINE_MS)
    _card(page, metrics[0]).scroll_into_view_if_needed(timeout=DEADLINE_MS)


def listed_runs(page: Page) -> dict[str, list[str]]:
    """The names of the runs in the list, by the text of the group that they stand under."""
    page.locator(".ag-row a[href*='/runs/']").first.wait_for(timeout=DEADLINE_MS)
    rows: list[list[str]] = page.evaluate(
        """() => [...document.querySelectorAll('.ag-center-cols-container .ag-row, .ag-pinned-left-cols-container .ag-row')]
            .sort((a, b) => Number(a.getAttribute('row-index')) - Number(b.getAttribute('row-index')))
            .map(row => [row.querySelector('a[href*="/runs/"]')?.innerText ?? '', row.innerText])"""
    )
    groups: dict[str, list[str]] = {}
    for run, text in rows:
        if run and groups:
            groups[next(reversed(groups))].append(run)
        elif named := [line for line in text.splitlines() if line.startswith(("Group: ", "Additional"))]:
            groups[named[0].removeprefix("Group: ")] = []
    return groups


def chart_lines(page: Page, metric: str) -> dict[str, Line]:
    """What the chart of a metric draws, by group."""
    card = _card(page, metric)
    card.scroll_into_view_if_needed(timeout=DEADLINE_MS)
    plot = card.locator(".js-plotly-plot")
    traces: list[dict[str, Any]] = plot.evaluate("plot => plot.data")
    _assert_inked(plot)
    # a band has its line's colour, mostly transparent
    bands = {trace["fillcolor"]: trace["y"] for trace in traces if trace.get("fill")}
    lines: dict[str, Line] = {}
    for trace in traces:
        if trace.get("mode") == "lines+markers":
            low, high = _edges(bands[f"{trace['marker']['color']}33"])
            lines[trace["uuid"].rpartition(".")[2]] = Line(trace["x"], trace["y"], low, high)
    return lines


def open_comparison(page: Page, link: str) -> None:
    """Open the page that compares runs, and wait until its plot is drawn."""
    page.goto(link)
    page.locator(".js-plotly-plot .parcoords .axis-title").first.wait_for(timeout=DEADLINE_MS)


def plot_metric_too(page: Page, metric: str) -> None:
    """Add a metric to the comparison's plot by its menu."""
    page.get_by_role("combobox").nth(1).click(timeout=DEADLINE_MS)
    option = page.locator(".du-bois-light-select-item-option-active")
    first = option.get_attribute("title", timeout=DEADLINE_MS)
    while option.get_attribute("title") != metric:  # of a long menu only the part around the active option exists
        page.keyboard.press("ArrowDown")
        assert option.get_attribute("title") != first, f"the menu has no {metric}"
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    axis = page.locator(".js-plotly-plot .parcoords .axis-title").filter(has_text=metric)
    axis.first.wait_for(timeout=DEADLINE_MS)


def compared_runs(page: Page) -> list[str]:
    """The ids of the runs that the comparison's table has a column for."""
    links = page.locator("a[href*='/runs/']")
    links.first.wait_for(timeout=DEADLINE_MS)
    addresses: list[str] = links.evaluate_all("links => links.map(link => link.getAttribute('href'))")
    return [address.rpartition("/runs/")[2].partition("?")[0] for address in addresses]


def plotted_axes(page: Page) -> dict[str, list[Any]]:
    """The axes of the comparison's plot: each run's value, as text where the axis has words."""
    plot = page.locator(".js-plotly-plot").first
    _assert_inked(plot)
    axes: list[dict[str, Any]] = plot.evaluate("plot => plot.data[0].dimensions")
    return {
        axis["label"]: [axis["ticktext"][value] for value in axis["values"]] if "ticktext" in axis else axis["values"]
        for axis in axes
    }


def _card(page: Page, metric: str) -> Locator:
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    return cards.filter(has=page.get_by_text(metric, exact=True))


def _edges(outline: list[float | None]) -> tuple[list[float], list[float]]:
    """Lower and upper edge of a band: it is drawn as its lower edge backwards, a gap, its upper edge forwards."""
    gap = outline.index(None)
    return [value for value in outline[:gap][::-1] if value is not None], [
        value for value in outline[gap + 1 :] if value is not None
    ]


def _assert_inked(plot: Locator) -> None:
    """That it is drawn on the screen: the text and the axes are grey, the lines and bands have colours."""
    pixels = np.asarray(Image.open(io.BytesIO(plot.screenshot())).convert("RGB")).astype(int)
    coloured = (pixels.max(axis=2) - pixels.min(axis=2)) > 40
    assert coloured.sum() > 100, f"{coloured.sum()} coloured pixels of {coloured.size}"
