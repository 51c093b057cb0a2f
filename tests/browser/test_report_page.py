"""The report's page in a real browser: from a file, on a wide and a narrow screen, by day and by night."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from igrpo.report.figures import draw_figures
from igrpo.report.page import Live, html, waiting
from igrpo.report.table import Table, ungrouped
from tests.browser.watch import watch
from tests.report.report_cases import CASES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = (1280, 400)
#: Anything smaller is a smudge on a phone.
SMALLEST_TEXT_PX = 8
#: WCAG 2.2, 1.4.3: the contrast of text with what is behind it.
LOWEST_CONTRAST = 4.5
#: Edges are rounded to the screen's pixels.
ROUNDING_PX = 1

_FIGURES = """() => Object.fromEntries([...document.querySelectorAll('figure')].map(figure => {
    const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] }
    const svg = figure.querySelector('svg')
    const texts = [...svg.querySelectorAll('text')].filter(text => text.textContent.trim()).map(text => {
        const m = text.getScreenCTM()
        const scale = Math.sqrt(Math.abs(m.a * m.d - m.b * m.c))
        return {text: text.textContent, size: parseFloat(getComputedStyle(text).fontSize) * scale, box: box(text)}
    })
    return [figure.id, {card: box(figure.querySelector('.card')), svg: box(svg), texts}]
}))"""

#: What reaches beyond the screen's edge, but for what lies in a box that scrolls by itself.
_BEYOND = """() => [...document.body.querySelectorAll('*')]
    .filter(e => !e.closest('.scroll') || e.matches('.scroll'))
    .filter(e => { const r = e.getBoundingClientRect(); return r.right > innerWidth + 1 || r.left < -1 })
    .map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40))"""

#: Red, green and blue of the page's text and of the paper under it.
_COLOURS = """() => ['color', 'backgroundColor'].map(
    part => getComputedStyle(document.body)[part].match(/\\d+/g).slice(0, 3).map(Number))"""


@pytest.mark.parametrize("case", ["eight", "hostile"])  # the fullest figures, and names that are no names
def test_report_page(browser: Browser, tmp_path: Path, screenshots: Path, case: str) -> None:
    figures = draw_figures(CASES[case])
    file = tmp_path / f"{case}.html"
    file.write_text(html(CASES[case], figures), encoding="utf-8")
    page = browser.new_page()
    seen = watch(page)
    page.goto(file.as_uri())
    assert page.evaluate("document.scripts.length") == 0
    assert not page.locator("details figure").first.is_visible()  # what repeats another figure is shown on request

    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        drawn: dict[str, dict[str, Any]] = page.evaluate(_FIGURES)
        assert sorted(drawn) == sorted(f"figure-{figure.name}" for figure in figures)
        for name, figure in drawn.items():
            _check_figure(f"{name} at {width} px", figure)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(_BEYOND) == []
        page.emulate_media(color_scheme="dark")
        _check_colours(page, dark=True)
        page.screenshot(path=screenshots / f"report-{case}-{width}-dark.png", full_page=True)
        page.emulate_media(color_scheme="light")
        _check_colours(page, dark=False)
        page.screenshot(path=screenshots / f"report-{case}-{width}-light.png", full_page=True)

    assert seen.console + seen.thrown + seen.refused == []
    assert seen.requested == [file.as_uri()]
    page.close()


def _check_figure(name: str, figure: dict[str, Any]) -> None:
    left, top, right, bottom = figure["svg"]
    assert right - left > 200, name
    assert bottom - top > 100, name
    assert figure["texts"], f"{name} has no text"
    for text in figure["texts"]:
        assert text["size"] >= SMALLEST_TEXT_PX, (name, text)
        assert _inside(text["box"], figure["card"]), (name, text, figure["card"])
    for one, other in combinations(figure["texts"], 2):
        assert not _overlap(one["box"], other["box"]), (name, one, other)


def _inside(inner: list[float], outer: list[float]) -> bool:
    before = all(edge >= limit - ROUNDING_PX for edge, limit in zip(inner[:2], outer[:2], strict=True))
    return before and all(edge <= limit + ROUNDING_PX for edge, limit in zip(inner[2:], outer[2:], strict=True))


def _overlap(one: list[float], other: list[float]) -> bool:
    """Whether two texts meet. Their boxes are as high as a line, which is a little more than their letters."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width > 2 * ROUNDING_PX and height > 3 * ROUNDING_PX


def _check_colours(page: Page, *, dark: bool) -> None:
    text, paper = (_luminance(colour) for colour in page.evaluate(_COLOURS))
    assert (paper < text) == dark
    assert (max(text, paper) + 0.05) / (min(text, paper) + 0.05) >= LOWEST_CONTRAST


def _luminance(colour: list[int]) -> float:
    """WCAG's relative luminance of an sRGB colour."""
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_page_of_a_running_sweep(browser: Browser, tmp_path: Path, screenshots: Path) -> None:
    head = ("condition", "seeds", "steps", "dev", "single-shot", "difference", "seeds still needed")
    row = ("igrpo, objective=dapo", "2 of 5, 1 running", "48 %", "51.2", "60.5 [53.8, 67.3]", "−7.4 [−15.0, +0.1]", "7")
    live = Live(
        Table("progress", "Progress", head, ungrouped([row] * 3), "A note.", words=2), "2026-01-02 03:04 UTC", 60
    )
    page = browser.new_page()
    seen = watch(page)
    for name, source in (("waiting", waiting("Does it?", live)), ("live", html(CASES["two"], [], live))):
        file = tmp_path / f"{name}.html"
        file.write_text(source, encoding="utf-8")
        page.goto(file.as_uri())
        assert page.locator("meta[http-equiv=refresh]").get_attribute("content") == "60"
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(_BEYOND) == []
            page.screenshot(path=screenshots / f"report-{name}-{width}.png")
    assert seen.console + seen.thrown + seen.refused == []
    page.close()
