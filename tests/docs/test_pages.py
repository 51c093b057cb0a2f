"""What the README and the docs name exists: files, settings, choices, metrics, messages; the README stays short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from igrpo.config.composing.folders import choices, groups
from igrpo.config.schema import RunConfig
from igrpo.evaluation.summary import SUMMARY_DOCS
from igrpo.metrics.definitions import STEP_METRICS
from tests.docs.pages import ROOT, WRITTEN, blocks, read

_LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
#: A setting in text, such as `trainer.steps`, `trainer.steps=20`, `reward.parts.NAME.weight`.
_SETTING = re.compile(r"^[a-z_]+(?:\.(?:[a-z_]+|[A-Z]+))+$")
_CHOICE = re.compile(r"^([a-z_]+)=([a-z0-9_/]+)$")
#: Pages whose text is about settings and metrics of igrpo (docs/migrating.md: in its column of igrpo's names).
_ABOUT_SETTINGS = [page for page in WRITTEN if page not in {"docs/metrics.md", "docs/changelog.md", "docs/speed.md"}]


def test_the_readme_is_short() -> None:
    assert len(read("README.md").split()) <= 1000


@pytest.mark.parametrize("page", WRITTEN)
def test_links_of_a_page_lead_to_files_and_headings(page: str) -> None:
    folder = (ROOT / page).parent
    found = [target.partition("#")[::2] for target in _LINK.findall(read(page))]
    assert [file for file, _ in found if not (folder / file).exists()] == []
    assert [(file, anchor) for file, anchor in found if anchor and anchor not in _anchors(folder / file)] == []


def _anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_links_every_page_for_users() -> None:
    linked = {target.partition("#")[0] for target in _LINK.findall(read("README.md"))}
    unlinked = {"docs/index.md", "docs/contributing.md", "docs/changelog.md", "docs/experiments.md"}
    assert {page for page in WRITTEN if page.startswith("docs/")} - unlinked <= linked


def _code(page: str) -> list[str]:
    """The inline code of a page; of docs/migrating.md that of igrpo."""
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
    if page == "docs/migrating.md":
        rows = [line.split("|")[3:5] for line in text.splitlines() if line.startswith("| ")]
        text = "\n".join("\n".join(cells) for cells in rows)
    return [part for code in _CODE.findall(text) for part in code.split() if "`" not in part]


def _schema(kind: Any) -> Iterator[type[BaseModel]]:
    """The models among the members of a type."""
    if get_origin(kind) in {Annotated, Union, UnionType, dict}:
        for member in get_args(kind):
            yield from _schema(member)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind


@cache
def _has(model: type[BaseModel], path: tuple[str, ...]) -> bool:
    """True if a setting exists with some choice; a part in capitals stands for any name."""
    if not path:
        return True
    name, *rest = path
    field = model.model_fields.get(name)
    if field is None:
        return False
    if get_origin(field.annotation) is dict and rest:
        rest = rest[1:]
    return not rest or any(_has(inner, tuple(rest)) for inner in _schema(field.annotation))


def exists(setting: str) -> bool:
    return _has(RunConfig, tuple(setting.split(".")))


SECTIONS = {name for name, field in RunConfig.model_fields.items() if any(_schema(field.annotation))}


@pytest.mark.parametrize("page", _ABOUT_SETTINGS)
def test_settings_of_a_page_exist(page: str) -> None:
    named = {code.partition("=")[0] for code in _code(page)}
    settings = {name for name in named if _SETTING.match(name) and name.partition(".")[0] in SECTIONS}
    assert {name for name in settings if not exists(name)} == set()


@pytest.mark.parametrize("page", _ABOUT_SETTINGS)
def test_choices_of_a_page_exist(page: str) -> None:
    named = [match.groups() for code in _code(page) if (match := _CHOICE.match(code))]
    chosen = [(group, name) for group, name in named if group in groups()]
    known = {group: {choice.name for choice in choices(group)} for group in groups()}
    recipes = {Path(name).stem for name in re.findall(r"^`([\w/.]+)`:$", read("docs/extending.md"), re.MULTILINE)}
    assert [pair for pair in chosen if pair[1] not in known[pair[0]] | recipes] == []


@pytest.mark.parametrize("page", _ABOUT_SETTINGS)
def test_metrics_of_a_page_exist(page: str) -> None:
    sections = {name.partition("/")[0] for name in STEP_METRICS} - {"judge"}
    named = {code for code in _code(page) if "/" in code and code.partition("/")[0] in sections}
    assert {name for name in named if name not in STEP_METRICS and not name.endswith(("/...", "_*", "/"))} == set()


def test_settings_are_looked_up_in_the_schema() -> None:
    assert exists("trainer.steps")
    assert exists("objective.advantage.std_eps")
    assert exists("reward.parts.NAME.weight")
    assert exists("rollout.sleep")
    assert not exists("trainer.stpes")
    assert not exists("rollout.local.sleep")
    assert len({name for name in _code("docs/migrating.md") if _SETTING.match(name)}) > 40


def test_messages_of_the_troubleshooting_page_are_those_of_the_program() -> None:
    page = read("docs/faq.md")
    assert len(re.findall(r"^### ", page, re.MULTILINE)) >= 30
    texts = {text for path in (ROOT / "igrpo").rglob("*.py") for text in _strings(path)}
    quoted = [part.strip() for block in blocks(page, "text") for part in block.split("...")]
    assert len(quoted) > 20
    assert [part for part in quoted if len(part) > 3 and not any(part in text for text in texts)] == []


def _strings(path: Path) -> Iterator[str]:
    """The texts of a module, without docstrings and what f-strings fill in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.value


def test_estimators_of_the_page_are_those_of_the_program() -> None:
    rows = [line for line in read("docs/evaluation.md").splitlines() if line.startswith("| `")]
    for name, text in SUMMARY_DOCS.items():
        unit, definition = text.split("; ", 1)
        assert f"| `{name}` | {unit} | {definition} |" in rows
