"""Sphinx configuration of the documentation: `make docs`."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _PROJECT["name"]
version = release = _PROJECT["version"]
author = project_copyright = "The igrpo authors"

extensions = ["myst_nb", "sphinx_copybutton"]
highlight_language = "bash"
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
nitpicky = True

myst_heading_anchors = 3
nb_execution_mode = "off"

html_theme = "furo"
html_title = f"igrpo {version}"
html_static_path = ["_static"]
html_css_files = ["igrpo.css"]
html_show_sourcelink = False

linkcheck_timeout = 20
linkcheck_ignore = [r"http://127\.0\.0\.1.*"]

#: Markdown files outside docs/ that a page of docs/ includes.
_INCLUDED = {"CONTRIBUTING": "contributing", "CHANGELOG": "changelog", "experiments/README": "experiments"}


class LinksIntoRepository(SphinxTransform):
    """Links to Markdown files outside docs/ lead to the page that includes the file, else to a copy of the file."""

    default_priority = 10

    def apply(self, **_: Any) -> None:
        for node in list(self.document.findall(addnodes.pending_xref)):
            target = Path(node["reftarget"])
            if node["refdomain"] != "doc" or not target.is_absolute():
                continue
            name = target.relative_to(ROOT).as_posix()
            if name in _INCLUDED:
                node["reftarget"] = _INCLUDED[name]
                continue
            copied = addnodes.download_reference("", "", *node.children, reftarget=_from_docs(f"{target}.md"))
            copied["refdoc"], copied["classes"] = node["refdoc"], ["xref", "download", "myst"]
            node.replace_self(copied)


def _from_docs(path: str) -> str:
    return f"/{os.path.relpath(path, Path(__file__).parent)}"


def setup(app: Sphinx) -> None:
    app.add_transform(LinksIntoRepository)
