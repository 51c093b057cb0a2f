"""The site builds without a warning: a broken reference, link or directive is one."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-d", str(out / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(out / "html")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return out / "html"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        target = values.get("href") if tag == "a" else values.get("src") if tag == "img" else None
        if target and not target.startswith(("#", "http:", "https:", "data:", "mailto:")):
            self.found.append(target.partition("#")[0])


def links(page: Path) -> set[str]:
    parser = _Links()
    parser.feed(page.read_text(encoding="utf-8"))
    return set(parser.found)


def test_every_page_is_built_and_its_links_lead_to_files(site: Path) -> None:
    built = {page.stem for page in site.glob("*.html")} - {"genindex", "search"}
    assert built == {page.stem for page in DOCS.glob("*.md")}
    for name in built:
        page = site / f"{name}.html"
        assert {target for target in links(page) if not (page.parent / target).exists()} == set()


def test_links_into_the_repository_lead_to_pages_and_copies(site: Path) -> None:
    assert "experiments.html" in links(site / "results.html")
    assert any(target.endswith("tables.md") for target in links(site / "results.html"))
    assert "architecture.html" in links(site / "contributing.html")
