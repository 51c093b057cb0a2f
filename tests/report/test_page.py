"""The page is one file that parses, shows everything once, and runs nothing."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser

import pytest

from igrpo.report.figures import draw_figures
from igrpo.report.page import html
from igrpo.report.table_contents import all_tables
from tests.report.report_cases import CASES, EIGHT, HOSTILE, HOSTILE_NAMES, TWO, figures_of

BESIDE = {"report.json", "tables.md", "tables.tex", "figures/"}
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements with their attributes, text outside <style>, ids; refuses tags that do not match."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@cache
def source(case: str) -> str:
    return html(CASES[case], figures_of(case))


@pytest.mark.parametrize("case", ["two", "no-entropy", "hostile"])
def test_one_file_without_anything_from_elsewhere(case: str) -> None:
    page = Page(source(case))
    assert source(case).lstrip().startswith("<!DOCTYPE html>")
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "img", "base", "form"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "xlink:href", "action", "srcset", "data"):
            assert attributes.get(name, "#").startswith("#")
        target = attributes.get("href", "#")  # a place of the page, or one of the files beside it
        assert target.startswith("#") or target in BESIDE, target
    styles = re.findall(r"<style[^>]*>(.*?)</style>", source(case), re.S)
    assert styles
    assert not any("@import" in style or "url(" in style.replace("url(#", "") for style in styles)
    policy = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert any(a.get("name") == "viewport" for tag, a in page.elements if tag == "meta")


@pytest.mark.parametrize("case", ["two", "hostile"])
def test_ids_are_unique_and_links_lead_somewhere(case: str) -> None:
    page = Page(source(case))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for _, attributes in page.elements if attributes.get("href", "").startswith("#")}
    assert links
    assert links <= set(ids)
    described = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert described <= set(ids)


def test_every_figure_and_table_is_there_once_and_numbered() -> None:
    figures = figures_of("two")
    page = Page(source("two"))
    for figure in figures:
        assert source("two").count(figure.svg) == 1
        assert page.text.count(f"{figure.title}. {figure.caption}") == 1
    assert re.findall(r"Figure (\d+)\.", page.text) == [str(i + 1) for i in range(len(figures))]
    tables = all_tables(TWO)
    assert re.findall(r"Table (\d+)\. ", page.text) == [str(i + 1) for i in range(len(tables))]
    for table in tables:
        assert page.text.count(table.title) >= 1
        for heading, _ in table.groups:
            assert heading in page.text
        for row in table.rows:
            for cell in row:
                assert cell in page.text
    assert sum(tag == "figcaption" for tag, _ in page.elements) == len(figures)
    assert sum(tag == "caption" for tag, _ in page.elements) == len(tables)


def test_the_finding_comes_first_then_the_cautions_then_numbers() -> None:
    text = Page(source("eight")).text
    headline = [c for c in EIGHT.comparisons if c.metric == "test/single_shot/accuracy"]
    places = [text.index(c.verdict) for c in headline]
    assert places == sorted(places)
    marks = [*places, *(text.index(note) for note in EIGHT.notes)]
    order = [
        *marks,
        *(text.index(word) for word in ("Table 1.", "Comparisons Each", "Table 2.", "Figure 5", "How to read")),
    ]
    assert order == sorted(order)
    for other in EIGHT.comparisons:  # every accuracy has its verdict, and all of a pair stand together
        assert text.index(other.verdict) < text.index(EIGHT.notes[0])
    assert text.index("Greedy accuracy was not measured") < text.index(EIGHT.notes[0])
    shown = sum(c.p_adjusted < 0.05 for c in headline)
    assert source("eight").count('class="finding shown"') == shown


def test_numbers_and_dates_have_one_form() -> None:
    text = Page(source("two")).text
    assert "Made 2026-01-02 03:04 UTC with igrpo" in text
    assert re.findall(r"(?<![\w/.-])-\d", text) == []  # a minus sign is no hyphen
    assert "\N{MINUS SIGN}" in text
    assert "10,240" in text
    assert re.findall(r"(?<![\w.,/])\d{5,}(?!\w)", text) == []


def test_names_and_notes_are_text() -> None:
    page = Page(source("hostile"))
    for name in HOSTILE:
        assert page.text.count(name) > 10
    for note in HOSTILE_NAMES.notes:
        assert note in page.text
    for raw in ("<script", "<img"):
        assert raw not in source("hostile")


def test_what_is_missing_is_said() -> None:
    assert "Not measured in these runs." in Page(source("no-entropy")).text
    assert "Not measured" not in Page(source("two")).text
    alone = TWO.model_copy(update={"conditions": TWO.conditions[:1], "comparisons": (), "finals": (), "curves": ()})
    text = Page(html(alone, draw_figures(alone))).text
    assert "no two conditions to compare" in text
    assert "a comparison needs two conditions" in text
    assert text.count("Not measured in these runs.") == 4


def test_excluded_runs_are_listed_with_the_reason() -> None:
    text = Page(source("two")).text
    assert "stopped-9 iGRPO 9 failed 17 no: it failed at step 17" in text
    assert "10 of 11 runs are used." in text
