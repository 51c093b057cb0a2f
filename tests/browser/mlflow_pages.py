"""MLflow's own pages, read in a browser: which runs they list, how they group them, what their charts draw."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
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


def open_table(page: Page, link: str) -> None:
    """Open the table of runs, and wait for its first row."""
    page.goto(link)
    page.locator(".ag-pinned-left-cols-container .ag-row").first.wait_for(timeout=DEADLINE_MS)
    page.locator(".ag-center-cols-container [role=gridcell]").first.wait_for(timeout=DEADLINE_MS)


def columns(page: Page) -> list[str]:
    """The names of the table's columns from left to right, without those that MLflow always shows first."""
    heads: list[list[Any]] = page.locator(".ag-header-row-column .ag-header-cell").evaluate_all(
        "heads => heads.map(head => [head.getBoundingClientRect().left, head.innerText.trim()])"
    )
    names = [name for _, name in sorted(heads) if name]
    return names[names.index("Created") + 1 :]


def group_sizes(page: Page) -> dict[str, int]:
    """The number of loaded runs in each group of the list."""
    groups: list[str] = page.locator(".ag-row").filter(has_text="Group: ").all_inner_texts()
    found = [re.search(r"Group: (.+?)\s+(\d+)", text) for text in groups]
    return {match[1]: int(match[2]) for match in found if match is not None}


def load_more(page: Page, expected: int) -> None:
    """Click the button below the list, and wait until so many runs are loaded."""
    page.get_by_role("button", name="Load more").click(timeout=DEADLINE_MS)
    page.get_by_text(f"{expected} matching runs").wait_for(timeout=DEADLINE_MS)


def wait_until(page: Page, reached: Callable[[], bool]) -> None:
    """Wait until a chart is drawn anew: MLflow shows an earlier one in the meantime."""
    for _ in range(DEADLINE_MS // 500):
        if reached():
            return
        page.wait_for_timeout(500)
    raise AssertionError("the chart is not what is expected")


def sections(page: Page) -> list[str]:
    """The titles of the first two or more sections of charts, from the top."""
    heads = page.get_by_test_id("experiment-view-compare-runs-section-header")
    heads.nth(1).wait_for(timeout=DEADLINE_MS)
    return [text.strip().splitlines()[0] for text in heads.all_inner_texts()]


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
